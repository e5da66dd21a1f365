"""Controls for a page with no kernel: a reader moves a slider, and the picture follows.

An explorer is one or more choices and one or more panels that show what is chosen. It is an
object that a notebook displays as HTML; data, style and script travel inside, so that it works
from a file, without a network, and in JupyterLab alike. Where scripts do not run, or the browser
is from before 2023 and unpacks no zlib stream, it is a still picture of its start.

>>> controls.explorer(
...     [controls.slider("epoch", epochs, play=True)],
...     [controls.heat_map(grids, label="activation", title="neuron 0", alt="Stripes ...")],
...     caption="One neuron through training.",
... )
"""

from .charts import bars, lines
from .choices import boxes, menu, slider
from .explorer import explorer
from .maps import heat_map
from .packing import thinned

__all__ = ["bars", "boxes", "explorer", "heat_map", "lines", "menu", "slider", "thinned"]
