"""Surgery: silence a unit, freeze a layer or shake it, from the next step on, and see whether the network heals.

A run that trains here is operated on itself; one that is over has no next step, so a branch of it is. Either can be
seen beside a twin that goes on from the same checkpoint untouched.
"""

from functools import partial

import streamlit as st

from dlcore.engine.job import Job
from dlcore.inside.layers import incoming
from dlcore.runs.branching import goes_on_with
from dlcore.runs.operations import Operation, Part, frozen, parts, spoken
from dlcore.runs.records import LONGEST_NAME, Record, branch_name
from dlcore.runs.store import StoreError
from pages.parts import panels
from pages.parts.axes import loss_axis
from pages.parts.charts import overlay_figure
from pages.parts.live_chart import live_chart
from pages.parts.pace import pace_for
from pages.parts.state.looking import job_of
from pages.parts.state.process import conductor, lately, store
from pages.parts.state.tab import is_news, keep, once, remember
from pages.parts.views.subject import Subject

HEIGHT = 220
DOUBLE = 1.0  # seconds within which a second click is the same one
AMOUNTS = (0.01, 0.03, 0.1, 0.3, 1.0)
HOW = (
    "What a unit is good for shows when it is gone: its incoming weights become 0, and it may learn again. Behind a "
    "ReLU it cannot, for where that answers 0 there is no gradient. Watch the loss beside the untouched twin's: where "
    "they meet again, the network has healed ([Morcos et al. 2018](https://arxiv.org/abs/1803.06959))."
)


def show(subject: Subject, key: str = "surgery") -> bool:
    """Whether an answer is still on its way. `key`: of the container, where two stand side by side."""
    with st.container(key=key), panels.told():
        run = subject.run
        network = (run.recipe.model, run.recipe.inputs, run.recipe.outputs)
        known = once(f"{key}/parts", network, partial(parts, run.recipe))
        with st.container(horizontal=True, vertical_alignment="bottom"):
            layer, unit = _choose(known, key)
            twin = st.toggle(
                "Beside an untouched twin",
                key=f"{key}-twin",
                disabled=not store(),
                help="Two branches go on from the same checkpoint, and one of them is operated on.",
            )
        waits = _state(subject, known[layer], layer, unit, key)
        asked = _buttons(run, layer, unit, key)
        if asked and is_news(f"{key}/asked", DOUBLE):
            _operate(subject, *asked, twin)
        st.caption(_where(subject, twin))
        waits |= _twins(run, key)
        st.caption(HOW)
        return waits


def _choose(known: dict[str, Part], key: str) -> tuple[str, int]:
    """A layer, and a unit of it, from 1; 0 where it has none of its own."""
    layer = st.selectbox("Layer", list(known), key=f"{key}-layer/{'/'.join(known)}", format_func=spoken, width=160)
    units = known[layer].units
    about = "Counted from 1, as the network view does."
    return layer, st.number_input(
        "Unit", 1, units, key=f"{key}-unit/{layer}/{units}", help=about, width=120
    ) if units else 0


def _state(subject: Subject, part: Part, layer: str, unit: int, key: str) -> bool:
    """What leads to the chosen unit now, beside what leads to the others."""
    if not unit:
        return False
    heard = subject.hear(f"{key}/now", lambda network: incoming(network, part.path), about=part.path)
    if heard.answer is not None and unit <= len(heard.answer):
        norms = heard.answer
        told = f"Unit {unit} of {spoken(layer)}: its incoming weights have norm **{norms[unit - 1]:.3g}**"
        middle = sorted(norms)[len(norms) // 2]
        st.markdown(f"{told}; half of the layer's {len(norms)} have more than {middle:.3g}.")
    elif heard.sentence:
        st.caption(panels.escape(heard.sentence))
    return bool(heard.coming)


def _buttons(run: Record, layer: str, unit: int, key: str) -> tuple[Operation, bool | float] | None:
    """What was asked for."""
    still = layer in frozen(run.history.changes)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        silence = st.button("Silence the unit", disabled=not unit, icon=":material/volume_off:", key=f"{key}-silence")
        label, icon = ("Let it learn", ":material/mode_heat:") if still else ("Freeze the layer", ":material/ac_unit:")
        freeze = st.button(label, icon=icon, key=f"{key}-{'melt' if still else 'freeze'}")
        about = "Deviation of the noise, in deviations of the layer's weights."
        amount = st.select_slider("Noise", AMOUNTS, value=0.1, key=f"{key}-amount", help=about, width=160)
        noise = st.button("Add the noise", icon=":material/grain:", key=f"{key}-noise")
    if silence:
        return Operation("silence", layer, unit), True
    if freeze:
        return Operation("freeze", layer), not still
    return (Operation("noise", layer), amount) if noise else None


def _trains_here(subject: Subject) -> Job | None:
    job = job_of(subject.run)
    return job if job and job.active and subject.epoch is None else None


def _operate(subject: Subject, operation: Operation, value: bool | float, twin: bool) -> None:
    run, change = subject.run, {operation.setting: value}
    job = _trains_here(subject)
    if job and not twin:
        job.steer(change)
        return
    epoch = _checkpoint(subject)
    recipe = goes_on_with(run, epoch)
    words = [operation.text(value), *(["untouched"] if twin else [])]
    names = [f"{word}: {branch_name(run.name, epoch)}"[:LONGEST_NAME] for word in words]  # lists cut off their ends
    how = {"pace": pace_for(recipe), "paused": True}
    begun = [conductor().branch(run.number, epoch, name, recipe, **how) for name in names]
    begun[0].steer(change)
    for one in begun:
        one.resume()
    keep("surgery/twins", [one.number for one in begun])


def _checkpoint(subject: Subject) -> int:
    """The epoch that a branch goes on from: the one that is looked at, or the last that is kept."""
    kept = store().epochs_kept(subject.run.number) if store() else []
    until = [epoch for epoch in kept if subject.epoch is None or epoch <= subject.epoch]
    if not until:
        raise StoreError(f"Run {subject.run.number} has no checkpoint yet that a branch could go on from.")
    return until[-1]


def _where(subject: Subject, twin: bool) -> str:
    if _trains_here(subject) and not twin:
        return "It holds from the next step on, and is a numbered flag on the curves."
    try:
        return f"A branch goes on from epoch {_checkpoint(subject)}; this run stays as it is."
    except StoreError as error:
        return panels.escape(str(error))


def _twins(run: Record, key: str) -> bool:
    """The curves of those that were begun last, beside each other, wherever one of them or their parent is shown."""
    numbers = remember("surgery/twins", [])
    runs = [lately(number) for number in numbers]
    if not runs or run.number not in {*numbers, *(one.branch.parent for one in runs if one.branch)}:
        return False
    with st.container(key=f"{key}-twins"):
        seen = [one.now() if isinstance(one, Job) else one for one in runs]
        live_chart(_since(runs[0].branch.step, overlay_figure(seen, "loss", "step")), key=f"{key}-loss", height=HEIGHT)
    return any(one.active for one in runs)


def _since(step: int, figure: dict) -> dict:
    """What came after a step: before it they were one run."""
    for trace in figure["data"]:
        points = [point for point in zip(trace["x"], trace["y"], strict=True) if None not in point and point[0] >= step]
        trace["x"], trace["y"] = ([point[axis] for point in points] or [None] for axis in (0, 1))
    figure["layout"]["yaxis"] |= loss_axis(trace["y"] for trace in figure["data"])
    return figure
