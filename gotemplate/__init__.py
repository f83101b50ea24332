"""Go's text/template, as far as Portbook speaks it: text and data in, text out. Pure.

`lexer` cuts the text, `parser` builds the `tree`, `evaluate` walks it; `values` and `printf` know how Go tests and
prints, `builtins` and `strings` what its functions do. Which functions a template may call is a `Vocabulary`, given by
whoever uses the language. Anything outside it and outside the subset is refused by name.
"""
