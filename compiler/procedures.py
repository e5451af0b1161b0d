"""A procedure of a training as a model of its own, which owns the instances that it works with."""

from __future__ import annotations

from dataclasses import replace

from dlc.compiler.calls import every_node
from dlc.compiler.graph import ModelRef
from dlc.compiler.program import Model, Procedure


def as_model(procedure: Procedure) -> Model:
    """The procedure as a model: its inputs are the tensor parameters, the paths of its weights start with the names of
    the instances. Instances that it does not use are left out."""
    graph = procedure.graph
    used = {node.module.partition(".")[0] for node in every_node(graph) if node.module is not None}
    used |= {
        operand.path.partition(".")[0]
        for node in every_node(graph)
        for operand in node.inputs
        if isinstance(operand, ModelRef)
    }
    modules = {name: module for name, module in graph.borrowed.items() if name in used}
    return Model(procedure.name, replace(graph, modules=graph.modules | modules, borrowed={}), graph.doc)
