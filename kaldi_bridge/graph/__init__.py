"""The network compiled: which frames each layer is needed at, folded weights, streamed execution.

`lowering` turns nodes into operations on cores, unrolled over the phases of the output's frame
rate; `folding` simplifies them; `plan` fixes order, delays and weights; `streaming` runs a plan
over audio of any length in bounded memory, `functional` runs it in one piece with gradients.
"""
