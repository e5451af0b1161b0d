"""`dlc bench`: how long a model takes in onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from dlc.grammar.suggest import nearest
from dlc.runtime.cli.engine import engine, engine_options
from dlc.runtime.cli.options import Pair, json_option
from dlc.runtime.cli.output import write_json

if TYPE_CHECKING:
    from dlc.compiler.dim import Symbol
    from dlc.runtime.infer.bench import Timing
    from dlc.runtime.infer.opening import Opened

_BATCHES = "1,8,32"


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers from 1 on, between commas."""

    name = "N,N,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        numbers = tuple(int(text) for text in str(value).split(",") if text.strip().isdecimal())
        if len(numbers) != len(str(value).split(",")) or min(numbers) < 1:
            self.fail(f"{value}: whole numbers from 1 on are due, as in 1,8,32", param, ctx)
        return tuple(dict.fromkeys(numbers))


@dataclass(frozen=True, slots=True)
class _Row:
    """way: in which calls of these sizes were found to be fastest; none where they were not tuned."""

    provider: str
    sizes: Mapping[str, int]
    timing: Timing
    way: str | None


@click.command("bench", short_help="Measure how long a model takes in onnxruntime.")
@click.argument("model", metavar="MODEL.onnx|RUN")
@click.option("--batch", "batches", type=Numbers(), default=_BATCHES, help="How many examples a call has; 1,8,32.")
@click.option("--size", "sizes", type=Pair(example="T=128,512"), multiple=True, help="An open size, as in T=128,512.")
@click.option("--provider", "providers", default=("CPU",), multiple=True, metavar="NAME", help="What computes; CPU.")
@click.option("--model", "name", metavar="NAME", help="Of a run with several instances, the one to measure.")
@click.option("--for", "duration", type=click.FloatRange(min=0.01), default=2.0, help="Seconds a measurement; 2.")
@click.option("--warm-up", type=click.FloatRange(min=0), default=0.5, help="Seconds before each; 0.5.")
@click.option("--tuned", is_flag=True, help="Find first how calls of these sizes run fastest, and measure them so.")
@engine_options
@json_option("Print what was measured as JSON.")
def command(
    model: str,
    batches: tuple[int, ...],
    sizes: tuple[tuple[str, str], ...],
    providers: tuple[str, ...],
    name: str | None,
    duration: float,
    warm_up: float,
    tuned: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Measure a model's latency, by percentiles, and its throughput, for batches and open sizes and by provider.

    Inputs are drawn at random within their declared ranges. A call is measured where onnxruntime runs, without what it
    costs to check arrays and to hand them over; for each provider in a session of its own, one after the other.
    """
    from dlc.runtime.infer.opening import opened

    given = {size: _numbers(text) for size, text in sizes}
    rows: list[_Row] = []
    for provider in dict.fromkeys(providers):
        with opened(model, name, provider=provider, **engine(model, **how)) as found:
            for chosen in _sizes(found, given, batches):
                rows.append(_measured(found, provider, chosen, duration, warm_up, tuned))
    if as_json:
        write_json([_told(row) for row in rows])
    else:
        _show(model, rows)


def _numbers(text: str) -> tuple[int, ...]:
    return Numbers().convert(text, None, None)


def _sizes(found: Opened, given: Mapping[str, Sequence[int]], batches: Sequence[int]) -> Iterator[dict[Symbol, int]]:
    """Every combination of the sizes. UsageError for an unknown name, and for a size that nothing is known of."""
    from dlc.runtime.infer.bench import symbols

    known = symbols(found.session)
    for name in given:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean `{near}`?" if near else f"it has {', '.join(known) or 'none'}"
            raise click.UsageError(f"{found.session.name} has no open size `{name}`; {hint}")
    batch = next(iter(known), None)
    if batch is not None and any(
        port.rank and port.shape[0].as_symbol() == known[batch] for port in found.session.inputs
    ):
        given = {batch: batches, **given}
    trained = {name: (number,) for name, number in found.sizes.items()}
    missing = [name for name in known if name not in given and name not in trained]
    if missing:
        help = " ".join(f"--size {name}=128" for name in missing)
        raise click.UsageError(f"{found.session.name} has open sizes: say how large they are, as in {help}")
    choices = [given.get(name) or trained[name] for name in known]
    for numbers in product(*choices):
        yield dict(zip(known.values(), numbers, strict=True))


def _measured(
    found: Opened, provider: str, sizes: Mapping[Symbol, int], duration: float, warm_up: float, tuned: bool
) -> _Row:
    from dlc.runtime.infer.bench import drawn, measure

    examples = next(iter(sizes.values()), 1)
    inputs = drawn(found.session, sizes)
    way = str(found.session.tune(inputs).chosen) if tuned else None
    timing = measure(found.session, inputs, examples, seconds=duration, warm=warm_up)
    return _Row(provider, {symbol.name: number for symbol, number in sizes.items()}, timing, way)


def _told(row: _Row) -> dict[str, Any]:
    way = {} if row.way is None else {"way": row.way}
    return {"provider": row.provider, "sizes": dict(row.sizes), **way, **asdict(row.timing)}


def _show(model: str, rows: Sequence[_Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{model}: milliseconds a call", title_justify="left", box=SIMPLE_HEAD)
    several = len({row.provider for row in rows}) > 1
    tuned = rows[0].way is not None
    names = [*rows[0].sizes]
    for title in (*(["provider"] if several else []), *names, "p50", "p90", "p99", "mean", "examples/s", "calls"):
        table.add_column(title, justify="left" if title == "provider" else "right")
    if tuned:
        table.add_column("fastest", no_wrap=True)
    for row in rows:
        timing = row.timing
        latencies = (f"{1000 * value:.3g}" for value in (timing.p50, timing.p90, timing.p99, timing.mean))
        sizes = (f"{row.sizes[name]:,}" for name in names)
        own = [row.provider] if several else []
        table.add_row(
            *own, *sizes, *latencies, f"{timing.throughput:,.0f}", f"{timing.runs:,}", *([row.way] if tuned else [])
        )
    Console(highlight=False).print(table)
