"""Ask for the access token where the dashboard was started with one."""

from __future__ import annotations

import hmac
import os
import time

import streamlit as st

TOKEN_VARIABLE = "FLASHTRACE_AGENT_DASHBOARD_TOKEN"  # noqa: S105 - the variable's name, not a token

_ACCEPTED = "access_token_accepted"
_PENALTY_SECONDS = 1.0


def require_token() -> None:
    """Stop the script run unless no token is set or this session has given the right one."""
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token or st.session_state.get(_ACCEPTED):
        return
    with st.form("access", width=420):
        st.subheader("Access token")
        given = st.text_input("Token the dashboard was started with", type="password")
        sent = st.form_submit_button("Open the dashboard", type="primary")
    if sent:
        if hmac.compare_digest(given.encode(), token.encode()):
            st.session_state[_ACCEPTED] = True
            st.rerun()
        time.sleep(_PENALTY_SECONDS)  # slows guessing down
        st.error("This is not the token.")
    st.stop()
