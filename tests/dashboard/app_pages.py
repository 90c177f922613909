"""Open, read and use a page that Streamlit runs without a browser."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest


def open_page(app: AppTest, page: str, **query: str) -> AppTest:
    """Run the app and go to a page with the given query."""
    app.run()
    app.query_params.clear()
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page(page).run()
    assert not app.exception
    return app


def shown(app: AppTest) -> dict[str, Any]:
    """Return the attribution the heat map on the page was given."""
    (component,) = app.get("bidi_component")
    found: dict[str, Any] = json.loads(component.proto.json)["attributions"][0]
    return found


def tree(app: AppTest) -> dict[str, Any]:
    """Return what the tree of steps on the page was given."""
    (component,) = app.get("bidi_component")
    found: dict[str, Any] = json.loads(component.proto.json)
    return found


def click(app: AppTest, label: str) -> None:
    """Press the button with this label."""
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception


def link_labels(app: AppTest) -> list[str]:
    """Return the labels of the page's links."""
    return [link.proto.label for link in app.get("page_link")]
