"""Choice of the micro-batch."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from launch.accelerators.costs import Step
from launch.accelerators.machines import parse
from launch.plan.micro_batch import Machine, all_candidates, best
from model.config import EncoderConfig


@settings(deadline=None)
@given(
    batch=st.integers(1, 96),
    accelerator=st.sampled_from(["v3-8", "v5e-8", "v6e-1", "h100x1"]),
    layers=st.integers(1, 64),
    headroom=st.floats(0, 0.9),
)
def test_best_candidate_divides_the_batch_fits_and_is_fastest(batch, accelerator, layers, headroom):
    encoder = EncoderConfig(vocab_size=30_522, num_hidden_layers=layers)
    machine = Machine(accelerator=parse(accelerator), headroom=headroom)
    candidates = all_candidates(Step(encoder=encoder, batch=batch, micro_batch=batch), machine)
    fitting = [c for c in candidates if c.total_bytes <= machine.budget_bytes]
    chosen = best(candidates)
    if not fitting:
        assert chosen is None
        return
    assert chosen in fitting
    assert batch % chosen.step.micro_batch == 0
    assert chosen.seconds <= min(candidate.seconds for candidate in fitting) * 1.01
    assert math.isfinite(chosen.seconds)
