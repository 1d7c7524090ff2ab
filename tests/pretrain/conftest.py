"""Exports that several test modules load; loading takes seconds."""

import pytest


@pytest.fixture(scope="session")
def loaded_export(published):
    """The SavedModels of `published`; do not assign their variables."""
    from pretrain.export.load import LoadedExport

    return LoadedExport.load(str(published.export_dir))


@pytest.fixture(scope="session")
def imported_export(published):
    """The weights of the SavedModels of `published`, as `read_bert` returns them."""
    from pretrain.convert.formats import read_bert

    return read_bert(str(published.export_dir))
