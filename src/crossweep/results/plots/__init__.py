"""Figures by what they tell; each function takes an analysis (or a part of it) and returns a `Figure` with its caption and
hover texts.

Sizes are those of a paper column (8.5 cm), colours are safe for colour-blind readers: cividis for maps, Okabe
and Ito's set for lines. ``style`` holds both, ``svg`` makes a figure fit for a page with light and dark
themes.
"""
