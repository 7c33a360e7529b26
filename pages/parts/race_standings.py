"""The standings of a race: who leads, as a table of plain HTML, and the verdict once all are done."""

import html

import streamlit as st

from dlcore.runs.records import Record
from dlcore.studies import races
from pages.parts.panels import escape
from pages.parts.race_tries import stopped_tries, trying
from pages.parts.run_looks import colour, dashes


def standings(jobs: list[Record], beside: list[Record]) -> None:
    """Runs beside the race have no rank."""
    if not jobs:
        st.caption("All contestants start from the same weights and see the same batches. The standings appear here.")
    elif jobs == stopped_tries():
        st.info("It was stopped while learning rates were tried, so there was no race.", icon=":material/flag:")
    elif not trying() and not any(job.active for job in jobs):
        st.success(escape(races.verdict(jobs)), icon=":material/flag:")
    else:
        st.empty()  # the table keeps its place
    dash = dict(zip([*jobs, *beside], dashes([*jobs, *beside]), strict=True))
    rows = [row(str(rank), html.escape(job.name), job, dash[job]) for rank, job in enumerate(races.ranking(jobs), 1)]
    rows += [row("–", f"{html.escape(run.name)} · run&nbsp;{run.number}", run, dash[run]) for run in beside]
    if rows:
        head = "".join(f"<th>{name}</th>" for name in rows[0])
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row.values())}</tr>" for row in rows)
        st.html(f'<table class="standings"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')


def row(rank: str, name: str, run: Record, dash: str) -> dict[str, str]:
    """The cells of a run's row, as HTML, which `name` is already; what comes from outside is escaped."""
    last, best = (run.history.epochs or [None])[-1], run.history.best
    accuracy = "–" if last is None or last.val_accuracy is None else f"{last.val_accuracy:.1%}"
    swatch = f'<i class="swatch {dash}" style="background:{colour(run.number)}"></i>'
    return {
        "place": rank,
        "run": f'<div class="named">{swatch}<span>{name}</span></div>',
        "learning rate": races.rate(run),
        "status": html.escape(f"{run.status}: {run.failure.text}" if run.failure else run.status),
        "epoch": f"{run.epoch}&nbsp;of&nbsp;{run.recipe.epochs}",
        "validation accuracy": accuracy,
        "validation loss": f"{last.val_loss:.4f}" if last else "–",
        "best epoch": str(best.epoch) if best else "–",
        "own time": f"{last.seconds:.1f} s" if last else "–",
        "steps/s": f"{run.steps_per_second:,.0f}",
    }
