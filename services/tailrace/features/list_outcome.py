"""Where keys are lists: what was found for the elements of a row, taken together."""

from __future__ import annotations

import numpy as np

from tailrace.features.asked_keys import AskedKeys
from tailrace.features.plan import LookupView
from tailrace.features.row_errors import RowErrors
from tailrace.features.state import FeatureState
from tailrace.features.view_outcome import ViewOutcome
from tailrace.runtime.batch import Rows

_FRESH = int(FeatureState.FRESH)
_MISSING = int(FeatureState.MISSING)


def list_outcome(
    view: LookupView, asked: AskedKeys, elements: ViewOutcome, rows: Rows
) -> ViewOutcome:
    """Returns the outcome by row; rows without a list are missing, as the view's policy says.

    A row whose list is empty lacks nothing: it is FRESH, and has no age.

    Args:
        view: the view.
        asked: what was asked for.
        elements: the outcome of every element, [rows x elements].
        rows: gets the failures.
    """
    shape = len(rows), view.width
    wanted = np.zeros(shape, np.bool_)
    wanted.reshape(-1)[asked.live] = True
    # FRESH < STALE < MISSING < NOT_KEPT: the worst is the greatest, and 0 is what was not wanted.
    element_states = np.where(wanted, elements.states.reshape(shape), np.uint8(0))
    states = np.maximum(element_states.max(axis=1), np.uint8(_FRESH))
    presence = elements.presence
    if presence is not None:
        of_elements = presence.reshape(len(presence), *shape)
        presence = (of_elements | ~wanted).all(axis=2)
    if asked.no_list:
        no_list = list(asked.no_list)
        states[no_list] = _MISSING
        if presence is not None:
            presence[:, no_list] = False
        view.counts.missing += len(no_list)
        if view.view.on_missing == "fail":
            errors = RowErrors(view, rows)
            for row in no_list:
                errors.no_list(row)
    if presence is not None and presence.all():
        presence = None
    age_us = elements.age_us.reshape(shape).max(axis=1)
    return ViewOutcome(elements.view, states, age_us, presence, element_states)
