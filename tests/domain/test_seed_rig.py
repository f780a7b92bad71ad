"""The rig that hettui was begun for: what its owner is told from bare iron to a plan."""

from __future__ import annotations

import pytest

from hettui.domain.library.fit import Fit
from hettui.domain.library.offers import advised
from tests.seed_rig import CONTEXT, advice, doctor_page, offers, plan_page


def test_the_doctor_names_driver_build_links_and_power() -> None:
    page = doctor_page()
    told = " ".join(page.split())
    assert "driver branch 570 or newer, with the open kernel module, serves all of NVIDIA's cards here" in told
    assert '--architectures "75;86;120"' in page
    assert "GTX 1660 SUPER gen3 x4 of gen3 x16" in told
    assert "the supply's 1200 W carry all limits together, 895 W" in told
    assert "0 not checked" in page.splitlines()[0]


@pytest.mark.many
def test_the_largest_quantisation_that_fits_with_32k_of_context_is_advised() -> None:
    judged = {one.name: one.outlook for one in offers()}
    assert all(outlook is not None and outlook.ctx_size == CONTEXT for outlook in judged.values())
    assert judged["Q4_K_M"] is not None
    assert judged["Q4_K_M"].fit is Fit.FITS
    assert judged["Q8_0"] is not None
    # 30 GiB are more than the three cards have.
    assert judged["Q8_0"].fit in (Fit.PARTLY_CPU, Fit.NOT)
    best = advised(offers())
    assert best is not None
    assert best.size_bytes >= next(one.size_bytes for one in offers() if one.name == "Q5_K_M")
    assert f"{CONTEXT} tokens of context is {best.name}" in advice()


def test_its_plan_leaves_the_slow_card_out_where_it_is_not_needed() -> None:
    page = plan_page("Q4_K_M")
    assert "It fits." in page
    assert "GTX 1660 SUPER       0" in page
