"""Which subnets a training step runs.

A sampler is made of small objects that wrap one another and all keep the contract of
`protocol.Sampler`: the walk over complexity levels with uniform draws within a level
(`adjacent`), good subnets met earlier (`banked`), wide rather than deep ones (`preferring`);
or, instead of levels, draws from the whole space (`uniform`) and the sandwich rule (`sandwich`).
`build` makes the one that the settings of a training ask for.
"""
