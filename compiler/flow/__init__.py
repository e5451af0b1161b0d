"""What depends on what: how the elements of a result depend on those of an input, and the claims that this proves.

An operation says in `Op.flow` how it reads its inputs (`reading`). For one axis of one input of a graph, the analysis
(`analysis`) carries through the graph which positions along that axis each element of each value may depend on, as
linear inequalities (`inequalities`, `dependence`), with what is known of masks and positions (`known`). `symmetry`
follows what a permutation of an axis does. `claims` decides with both what `ensure` claims.
"""
