"""The Reference page lists every choice, and every setting with its meaning."""

import pytest

from dlcore.catalogue.augmentation import Augmentation
from dlcore.recipe import Recipe
from tests.pages.helpers import FAMILIES, opened, seen, well

pytestmark = pytest.mark.usefixtures("own_process")


@pytest.mark.parametrize("title", FAMILIES)
def test_the_reference_lists_every_kind_with_its_settings(title):
    at = opened("reference")
    at.session_state["families"] = title  # the tab that is open; only that one is made
    text = seen(well(at.run()))
    meanings = {meaning for table in at.table for meaning in table.value.get("meaning", [])}
    for kind, member in FAMILIES[title].items():
        assert f"`{kind}`" in text
        assert member.title in text
        assert {field.description for name, field in member.model_fields.items() if name != "kind"} <= meanings


def test_the_reference_lists_the_settings_of_a_run():
    at = opened("reference")
    at.session_state["families"] = "Run"
    well(at.run())
    meanings = {meaning for table in at.table for meaning in table.value.get("meaning", [])}
    for owner in (Recipe, Augmentation):
        assert {field.description for field in owner.model_fields.values()} <= meanings
