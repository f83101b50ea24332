"""`make demo`: the 2016 article's walkthrough on real parts, each step printed as a command and checked.

`steps` is what a step is and how it is judged, `walk` the steps themselves, `stage` the running parts, `screen` the
printing, `kept` what KEEP=1 leaves behind and how it is ended.
"""
