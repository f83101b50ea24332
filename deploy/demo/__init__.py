"""`make demo`: the 2016 article's walkthrough on real parts, each step printed as a command and checked.

`steps` is what a step is and how it is judged, `walk` the steps themselves, `stage` the running parts, `screen` the
printing, `kept` the record of what runs, by which what KEEP=1 or a kill -9 leaves behind is ended.
"""
