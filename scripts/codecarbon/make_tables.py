#!/usr/bin/env python3
"""Rebuilds data/codecarbon/ from an installed CodeCarbon.

    scripts/peer install codecarbon
    PYTHON=$(scripts/peer where codecarbon); $PYTHON scripts/codecarbon/make_tables.py

Numbers are written as the package writes them, so that both programs read the same doubles. Only what a
computation needs is kept. Prints the version that it read. Only the standard library.
"""

import csv
import importlib.metadata
import json
import pathlib

OUT = pathlib.Path(__file__).resolve().parents[2] / "data" / "codecarbon"
FUELS = ("coal", "petroleum", "naturalGas")


def write(name, header, rows):
    with open(OUT / name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def countries(data):
    mix = json.loads((data / "private_infra/global_energy_mix.json").read_text())
    rows = [(iso3, row["country_name"], row["carbon_intensity"], row["year"]) for iso3, row in sorted(mix.items())]
    write("countries.csv", ("iso3", "name", "g_per_kwh", "year"), rows)


def usa(data):
    states = json.loads((data / "private_infra/2023/usa_emissions.json").read_text())
    rows = [(name, row["regionCode"], row["emissions"]) for name, row in states.items() if not name.startswith("_")]
    write("usa.csv", ("name", "code", "lb_per_mwh"), rows)


def canada(data):
    mixes = json.loads((data / "private_infra/2023/canada_energy_mix.json").read_text())
    rows = [(name, *(mix[fuel] for fuel in FUELS), mix["total"]) for name, mix in sorted(mixes.items())]
    write("canada.csv", ("name", "coal", "petroleum", "natural_gas", "total"), rows)


def zones(data):
    nordic = json.loads((data / "private_infra/nordic_emissions.json").read_text())["data"]
    rows = [(zone, row["description"], row["emission_factor"], row["year"]) for zone, row in nordic.items()]
    write("nordic.csv", ("zone", "description", "g_per_kwh", "year"), rows)
    china = json.loads((data / "private_infra/2023/china_provincial_emissions.json").read_text())["data"]
    rows = [
        (code, row["description"], "|".join(row["names"]), row["emission_factor"], row["year"])
        for code, row in china.items()
    ]
    write("china.csv", ("code", "name", "names", "g_per_kwh", "year"), rows)


def cloud(data):
    with open(data / "cloud/impact.csv", newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    kept = ("provider", "region", "country_name", "countryIsoCode", "state", "city", "impact")
    header = ("provider", "region", "country_name", "country_iso3", "state", "city", "g_per_kwh")
    write("cloud.csv", header, [[row[key] for key in kept] for row in rows])


def main():
    package = importlib.metadata.distribution("codecarbon")
    data = pathlib.Path(str(package.locate_file("codecarbon/data")))
    OUT.mkdir(parents=True, exist_ok=True)
    for make in (countries, usa, canada, zones, cloud):
        make(data)
    (OUT / "cpu_power.csv").write_bytes((data / "hardware/cpu_power.csv").read_bytes())
    print(f"codecarbon {package.version}: {sum(1 for _ in OUT.glob('*.csv'))} tables in {OUT}")


if __name__ == "__main__":
    main()
