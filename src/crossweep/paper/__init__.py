"""The reference work on real data: its claims, judged by studies of `conf/study/paper`, written into RESULTS.md.

saved                          a study's runs as two small files, from which everything below is made
verdict                        a claim about a mean: held, not held, or cannot be told
rules, flaws, fresh, control   one question each: tables, figures, verdict
page                           the generated parts of RESULTS.md, between its markers

`python -m crossweep.paper` saves what has run and writes page and figures.
"""
