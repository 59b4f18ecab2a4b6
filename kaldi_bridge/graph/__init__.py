"""The network compiled: which frames each layer is needed at, folded weights, streamed execution.

`lowering` turns nodes into operations on cores, unrolled over the phases of the output's frame
rate; `folding` simplifies them; `planning` fixes order, delays and weights as a `plan`. `streaming`
runs a plan over audio of any length in bounded memory, a block at a time, each laid out by `layout`
before it is computed; `functional` runs it in one piece with gradients.
"""
