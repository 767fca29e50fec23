"""The one order of the levers, outermost first. Not configuration: each must see the call as the
ones before it left it.

Gates stand first, since a refused call costs nothing. What makes a prompt smaller stands before
what marks it for the provider's cache, since a mark belongs to the prompt that is sent.
"""

from __future__ import annotations

from bursar.levers import fit, lean_context, model_route, no_progress, prompt_cache

ORDER = (
    no_progress.NAME,
    lean_context.NAME,
    fit.OUTPUT,
    fit.EFFORT,
    model_route.NAME,
    prompt_cache.NAME,
)
