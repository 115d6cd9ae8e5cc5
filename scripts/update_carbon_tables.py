#!/usr/bin/env python3
"""Rebuilds the carbon intensity tables under data/ from files downloaded by hand.

    scripts/update_carbon_tables.py countries FILE.csv
        FILE.csv: Our World in Data's owid-energy-data.csv (columns country, iso_code, year,
        carbon_intensity_elec), or the download of its chart "Carbon intensity of electricity"
        (columns Entity, Code, Year and one more). Takes the newest year that each country has.

    scripts/update_carbon_tables.py us-states FILE.csv --year 2023
        FILE.csv: the state sheet of EPA's eGRID workbook saved as CSV (columns PSTATABB and
        ST<...>C2ERTA, in lb/MWh). Converted with 1 lb = 0.45359237 kg.

Prints what changed. Alpha-2 codes and names are kept from the present table; a country that is new
there must be added by hand first, with its codes and without a figure. Only the standard library.
"""

import argparse
import csv
import pathlib
import sys

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
COUNTRIES = DATA / "carbon_intensity_by_country.csv"
REGIONS = DATA / "carbon_intensity_by_region.csv"
KILOGRAMS_PER_POUND = 0.45359237
# A generation reported as 0.00 TWh gives 0 g/kWh or a round ratio of roundings; zero is not a figure.
NOT_A_FIGURE = 0.0


def read(path, first_column=None):
    """The rows as dictionaries; with first_column, what stands above the line that has it is skipped."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = list(csv.reader(file))
    start = next((i for i, line in enumerate(lines) if first_column in (None, *line)), None)
    if start is None:
        sys.exit(f"{path}: no column {first_column}")
    return [dict(zip(lines[start], line)) for line in lines[start + 1 :]]


def write(path, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def published(row):
    """(alpha-3, year, g/kWh) of one row of either layout, or None."""
    if "carbon_intensity_elec" in row:
        code, year, value = row["iso_code"], row["year"], row["carbon_intensity_elec"]
    else:
        code, year = row["Code"], row["Year"]
        value = next(v for k, v in row.items() if k.lower().startswith("carbon"))
    if len(code or "") != 3 or not value or float(value) <= NOT_A_FIGURE:
        return None
    return code, int(year), float(value)


def newest(rows):
    figures = {}
    for code, year, value in filter(None, map(published, rows)):
        if code not in figures or year > figures[code][0]:
            figures[code] = (year, value)
    return figures


def update_countries(path):
    figures = newest(read(path))
    table = read(COUNTRIES)
    strangers = sorted(set(figures) - {row["iso3"] for row in table})
    if strangers:
        sys.exit(f"not in {COUNTRIES.name}: {', '.join(strangers)}: add their codes and names first")
    for row in table:
        year, value = figures.get(row["iso3"], ("", None))
        text = "" if value is None else f"{value:.3f}"
        if (row["g_per_kwh"], row["year"]) != (text, str(year)):
            print(f"{row['iso3']}: {row['g_per_kwh']} ({row['year']}) -> {text} ({year})")
        row["g_per_kwh"], row["year"] = text, year
    write(COUNTRIES, table)


def update_states(path, year):
    rates = {}
    for row in read(path, "PSTATABB"):
        key = next(k for k in row if k.startswith("ST") and k.endswith("C2ERTA"))
        if row[key]:
            rates[row["PSTATABB"]] = float(row[key].replace(",", "")) * KILOGRAMS_PER_POUND
    table = read(REGIONS)
    for row in (row for row in table if row["country_iso3"] == "USA"):
        if row["code"] not in rates:
            sys.exit(f"{path}: no rate for {row['code']}")
        text = f"{rates[row['code']]:.3f}"
        if row["g_per_kwh"] != text:
            print(f"{row['code']}: {row['g_per_kwh']} -> {text}")
        row["g_per_kwh"], row["year"] = text, year
    write(REGIONS, table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", choices=["countries", "us-states"])
    parser.add_argument("file", type=pathlib.Path)
    parser.add_argument("--year", type=int, help="data year, for us-states")
    args = parser.parse_args()
    if args.table == "countries":
        update_countries(args.file)
    elif args.year is None:
        parser.error("us-states needs --year")
    else:
        update_states(args.file, args.year)


if __name__ == "__main__":
    main()
