"""One run on the Runs page: what it shows of it."""

import pytest

from dlcore.recipes import RECIPES
from dlcore.runs.records import Branch, Stored
from pages.parts.facts import csv
from tests.pages.helpers import enabled, press, seen, told, well
from tests.pages.kept_runs import HOSTILE, entered, kept, shown, title, trained
from tests.running import ENDLESS, MOONS, changed
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("own_process")


def test_texts_from_outside_are_shown_as_they_are(root, elsewhere):
    parent = entered(root, HOSTILE, note=HOSTILE, tags=["<i>t</i>"])
    entered(root, HOSTILE, branch=Branch(parent, 1, 4))
    at = shown(parent)
    assert "<b>" not in seen(at)
    assert [button.label for button in at.button if (button.key or "").startswith("family/")] == [
        r"\<b\>a\</b\> \*\*b\*\* \`c\` \$d\$ \:red… \(run 2\)"
    ]
    elsewhere.store.delete(parent)
    at = shown(2)
    assert "<b>" not in seen(at).replace("\\<b", "")
    entered(root, HOSTILE, changed(MOONS, seed=9))
    at = shown(2, 3)
    assert "<b>" not in seen(at).replace("\\<b", "")


def test_a_run_shows_its_settings_its_changes_and_where_it_ran(elsewhere):
    job = elsewhere.submit("moons", ENDLESS, paused=True)
    wait_until(lambda: job.ready)
    job.step()
    wait_until(lambda: job.history.steps == 1)
    job.steer({"optimizer.lr": 0.02})
    wait_until(lambda: job.history.changes)
    job.stop()
    kept(job)
    text = seen(shown())
    assert 'title="optimizer.lr">Learning rate</dt><dd>0.02' in text
    assert "<td>1</td><td>learning rate 0.02</td>" in text
    for words in ("torch", "python", "kB on disk", "begun"):
        assert words in text
    assert "stopped" in text


def test_a_failed_run_says_why(elsewhere):
    recipe = RECIPES["linear-regression"].recipe
    wild = changed(recipe, optimizer=recipe.optimizer.model_copy(update={"lr": 1.0}))
    assert trained(elsewhere, recipe=wild).status == "failed"
    assert "smaller learning rate" in told(shown())


def test_parents_and_branches_lead_to_each_other(elsewhere):
    parent = trained(elsewhere, "root")
    child = kept(elsewhere.branch(parent.number, 2, "twig", changed(MOONS, epochs=4)))
    at = shown(child.number)
    assert "A branch of" in seen(at)
    assert "after epoch 2" in seen(at)
    press(at, r"root \(run 1\)")
    assert "root" in title(at)
    assert "Its own branches" in seen(at)
    press(at, r"twig \(run 2\)")
    assert "twig" in title(at)
    elsewhere.store.delete(parent.number)
    assert "A branch of run 1, which is deleted" in seen(well(at.run()))


def test_the_csv_has_every_epoch(elsewhere):
    run = trained(elsewhere)
    table = csv(run).splitlines()
    assert len(table) == 1 + MOONS.epochs
    assert table[0].startswith("epoch,step,train_loss")
    assert csv(Stored(9, "none", MOONS)).splitlines() == table[:1]
    assert "Download CSV" in enabled(shown())
