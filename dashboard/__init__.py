"""The Streamlit app people debug in: `app.py` is the entry, one file per page beside it.

Streamlit runs `app.py` and the pages as scripts, so these import absolutely; the modules they
share import relatively. Nothing here loads torch.
"""
