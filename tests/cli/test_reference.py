from dlcore.recipes import RECIPES


def test_recipes_lists_each_with_what_it_shows(run):
    status, out, err = run("recipes")
    lines = out.splitlines()
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in lines] == list(RECIPES)
    assert all(line.endswith(named.about) for line, named in zip(lines, RECIPES.values(), strict=True))


def test_settings_lists_every_setting_with_what_it_takes(run):
    status, out, err = run("settings")
    assert (status, err) == (0, "")
    for text in (
        "epochs: a whole number from 1 to 100000",
        "optimizer.kind=adam: ",
        "optimizer.lr: a number above 0 and at most 10",
        "model.activation.kind=tanh: ",
        "augmentation.shift: ",
        "precision: float32 or bfloat16",
    ):
        assert text in out
