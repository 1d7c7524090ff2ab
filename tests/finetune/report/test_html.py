"""Report pages of fine-tuning, without a run."""

import pytest

from data.errors import UserError
from finetune.report.html import page_of_seed
from pretrain.report.run_record import RunRecord


def test_missing_record_of_the_data_is_an_error():
    record = RunRecord(
        name="seed-1",
        run=None,
        rows=(),
        unread_lines=0,
        best_step=None,
        data=None,
        environment=None,
        gin_texts={},
    )
    with pytest.raises(UserError, match=r"seed-1 has no data\.json"):
        page_of_seed(record, None)
