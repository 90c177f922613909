"""Follow a target back through the earlier steps of its run (see `flashtrace_agent.trajectory`)."""

from .build import Explainer, build_trajectory
from .choice import choose_step_of

__all__ = ["Explainer", "build_trajectory", "choose_step_of"]
