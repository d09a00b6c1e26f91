#!/usr/bin/env python3
"""Writes the images of this folder and pixels.json: what Pillow (written with its own libjpeg-turbo and libpng) reads from them.

12 x 9 pixels each; those that must be refused have no entry.
"""
import json
from pathlib import Path

from PIL import Image

here = Path(__file__).parent
width, height = 12, 9
colour = Image.new("RGB", (width, height))
colour.putdata([((x * 21) % 256, (y * 28 + x) % 256, (x * y * 3 + 40) % 256) for y in range(height) for x in range(width)])
grey = colour.convert("L")

colour.save(here / "colour.jpg", quality=90)
colour.save(here / "colour444.jpg", quality=95, subsampling=0)
colour.save(here / "progressive.jpg", quality=80, progressive=True)
grey.save(here / "grey.jpg", quality=90)
colour.save(here / "colour.png")
grey.save(here / "grey.png")
colour.quantize(16).save(here / "palette.png")
colour.convert("CMYK").save(here / "refused_cmyk.jpg")
colour.convert("RGBA").save(here / "refused_alpha.png")
grey.convert("I;16").save(here / "refused_deep.png")

pixels = {}
for path in sorted(here.glob("*.[jp][pn]g")):
    if path.name.startswith("refused"):
        continue
    image = Image.open(path)
    image = image.convert("RGB") if image.mode == "P" else image
    bands = [list(band.getdata()) for band in image.split()]
    pixels[path.name] = [value for band in bands for value in band]
(here / "pixels.json").write_text(json.dumps(pixels) + "\n")
