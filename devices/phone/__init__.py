"""Timing of models on a phone, over an open link.

`device` is the phone as a `devices.protocol.Device`. It opens a `session`, which holds the phone's
`facts`, its current `state`, its `folder` of files, its `power` mode and the `findings` about its
runner and drift; `hygiene` waits until it is cool. `rounds` orders the timings of a profile; a
`group` of models is timed by one `script`, which the phone runs by itself. The program that times
them is a `runner`: a `benchmark_model`, or evit's own, built by `native_bundle` from `native_parts`
and called by `native_runner`.
"""
