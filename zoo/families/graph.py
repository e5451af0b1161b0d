"""Networks for graphs."""

from __future__ import annotations

from zoo.row import need, row
from zoo.workshop import Trained, Workshop

_EQUAL = 1e-4


def _karate(shop: Workshop) -> str:
    trained = shop.train()
    accuracy = trained.measure("train")["accuracy"]
    far = _moved(trained)
    reached = f"{accuracy:.3f} of all members; {far:.0e} apart when they are numbered otherwise"
    return need(accuracy >= 0.9 and far < _EQUAL, reached)


for spec, what in (
    ("graph/gcn", "sums over neighbours, divided by the roots of degrees"),
    ("graph/gat", "means over neighbours, weighted by a softmax over each node's edges"),
):
    row(
        spec,
        what=what,
        asked="karate club ≥ 0.9 from one label a side; output does not depend on node order",
        data="karate club",
        epochs=20,
    )(_karate)


def _moved(trained: Trained) -> float:
    """How far the members' logits move when they, and their friendships, are numbered in another order."""
    import torch

    fields = {name: field[0] for name, field in trained.fields("train").items()}
    net = trained.module()
    draw = torch.Generator().manual_seed(0)
    order = torch.randperm(len(fields["x"]), generator=draw)
    edges = torch.argsort(order)[fields["edges"]][:, torch.randperm(fields["edges"].shape[1], generator=draw)]
    with torch.no_grad():
        due = net(fields["x"], fields["edges"])
        return float((net(fields["x"][order], edges) - due[order]).abs().max())


@row(
    "graph/diffpool",
    what="whole graphs, made smaller by learned clusters",
    asked="≥ 0.95; output does not depend on node order",
    data="drawn",
    small={"nodes": 12, "width": 8},
)
def diffpool(shop: Workshop) -> str:
    import torch

    trained = shop.train()
    accuracy = trained.measure("test")["accuracy"]
    fields, net = trained.fields("test"), trained.module()
    order = torch.randperm(fields["x"].shape[1], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        due = net(fields["x"], fields["A"])[0]
        far = float((net(fields["x"][:, order], fields["A"][:, order][:, :, order])[0] - due).abs().max())
    reached = f"{accuracy:.3f} of the graphs; {far:.0e} apart when nodes are numbered otherwise"
    return need(accuracy >= 0.95 and far < _EQUAL, reached)


@row(
    "graph/graph_network",
    what="edges, nodes and a global node in turn; sum, mean, max, softmax aggregation",
    asked="sums are told by sums alone, 100 times better; the greatest better by max and softmax than by means; edges "
    "and the whole are told; nodes' answers go with their order",
    data="drawn",
    small={"nodes": 6, "links": 10, "width": 8},
)
def graph_network(shop: Workshop) -> str:
    runs = {how: shop.train(how=f'"{how}"') for how in ("sum", "mean", "max", "softmax")}
    found = {how: run.measure("test") for how, run in runs.items()}
    far = max(_renumbered(run) for run in runs.values())
    told = "; ".join(
        f"{how}: {', '.join(f'{values[asked]:.1e}' for asked in ('sum', 'mean', 'max', 'edge', 'whole'))}"
        for how, values in found.items()
    )
    counts = all(found[how]["sum"] > 100 * found["sum"]["sum"] for how in ("mean", "max", "softmax"))
    finds = max(found[how]["max"] for how in ("max", "softmax")) < found["mean"]["max"]
    learned = all(values["edge"] < 0.01 and values["whole"] < 0.001 for values in found.values())
    reached = f"errors of sum, mean, greatest, edges, whole by {told}; {far:.0e} apart when numbered otherwise"
    return need(counts and finds and learned and far < _EQUAL, reached)


def _renumbered(trained: Trained) -> float:
    """How far all answers move, nodes' in their new order, when the nodes of drawn graphs are numbered otherwise."""
    import torch

    fields, net = trained.fields("test"), trained.module()
    order = torch.randperm(fields["x"].shape[1], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        node, edge, whole = net(fields["x"], fields["edges"])
        found = net(fields["x"][:, order], torch.argsort(order)[fields["edges"]])
        due = (node[:, order], edge, whole)
        return max(float((a - b).abs().max()) for a, b in zip(found, due, strict=True))
