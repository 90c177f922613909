"""Entry of the dashboard; run by `flashtrace-agent dashboard`, or `streamlit run` on this file.

The store's URL comes from FLASHTRACE_AGENT_STORE; without it, it is the file in the user's
data folder.
"""

import streamlit as st

from flashtrace_agent.dashboard.access import require_token
from flashtrace_agent.dashboard.live import show_error
from flashtrace_agent.errors import FlashTraceError

# As data inside the page: Streamlit would fetch the icons it names from elsewhere.
ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16">'
    '<rect width="16" height="16" rx="3.5" fill="#c2410c"/>'
    '<path d="M3.5 5h9M3.5 8h6M3.5 11h4" stroke="#fff" stroke-width="1.8" stroke-linecap="round"/></svg>'
)

# The content is tables and prompts: it may take the width, and begins right below the menu.
STYLE = """<style>
.stMainBlockContainer { padding: 4.6rem 2.5rem 3rem; max-width: 125rem; }
.stMainBlockContainer h2 { padding: 0 0 .2rem; font-size: 1.7rem; overflow-wrap: anywhere; }
.stMainBlockContainer h3 { font-size: 1.2rem; }
.st-key-request-open [data-testid="stIconMaterial"] { animation: turn 1.6s linear infinite; }
.st-key-request-open button [data-testid="stIconMaterial"] { animation: none; }
/* White on the theme's own dark orange is hard to read. */
[data-testid^="stBaseButton-primary"] { background: #b93e0b; border-color: #b93e0b; }
[data-testid^="stBaseButton-primary"]:hover { background: #9a3412; border-color: #9a3412; }
/* Streamlit's strings and options are too pale on a light ground. */
.stCode .token.token.string { color: light-dark(#0b7a2c, #09ab3b); }
.stCode .token.token.parameter { color: light-dark(#0b6b8a, #00a4d4); }
@keyframes turn { to { transform: rotate(360deg); } }
@media (prefers-reduced-motion: reduce) { .st-key-request-open * { animation: none !important; } }
</style>"""

st.set_page_config(page_icon=ICON, layout="wide")  # before the pages, whose icons would be fetched
st.html(STYLE)

# A browser that opens a page other than the first logs two 404s: Streamlit's script does not know how much of
# the address is the page, and asks for the server below /why before it asks at the root (its issue 7074).
page = st.navigation(
    [
        st.Page("traces.py", title="Traces", icon=":material/list:", default=True),
        st.Page("trace.py", title="Trace", icon=":material/account_tree:"),
        st.Page("why.py", title="Why", icon=":material/local_fire_department:"),
        st.Page("trajectory.py", title="Trajectory", icon=":material/conversion_path:"),
        st.Page("compare.py", title="Compare", icon=":material/compare_arrows:"),
        st.Page("jobs.py", title="Jobs", icon=":material/dns:"),
        st.Page("review.py", title="Review", icon=":material/rate_review:"),
    ],
    position="top",
)
st.set_page_config(page_title=f"{page.title} · flashtrace-agent")  # tabs are told apart by it
require_token()
try:
    page.run()
except FlashTraceError as error:
    show_error(error)
