"""Whether the screen is on: `dumpsys power`, or `dumpsys display`."""

from __future__ import annotations

import re

from edgegen.device.sampling.dumpsys.lines import lines_of

# The panel's own state goes before the system's wakefulness, which is awake with a dark screen
# while something is near the front. A dozing panel shows a clock, at almost no cost.
_PANEL = re.compile(r"\s*(?:Display Power: state=|mScreenState=|mGlobalDisplayState=)(\w{1,20})")
_WAKEFULNESS = re.compile(r"\s*mWakefulness=(\w{1,20})")
_PANELS = {"ON": True, "VR": True, "OFF": False, "DOZE": False, "DOZE_SUSPEND": False}
_STATES = {"Awake": True, "Dreaming": True, "Asleep": False, "Dozing": False}


def parse_screen(text: str) -> bool | None:
    """Return whether the screen is on, from either service's text or both; `None` if unknown."""
    awake: bool | None = None
    for line in lines_of(text):
        if (panel := _PANEL.match(line)) is not None and panel.group(1) in _PANELS:
            return _PANELS[panel.group(1)]
        if awake is None and (state := _WAKEFULNESS.match(line)) is not None:
            awake = _STATES.get(state.group(1))
    return awake
