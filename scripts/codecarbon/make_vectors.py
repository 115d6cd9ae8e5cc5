#!/usr/bin/env python3
"""Makes vectors from an installed CodeCarbon: what it computes from given inputs, read by `cargo xtask vectors`.

    scripts/peer install codecarbon
    $(scripts/peer where codecarbon) scripts/codecarbon/make_vectors.py FOLDER [--all-names]

Writes FOLDER/codecarbon_vectors.json (places, clouds, memory sizes, processor names, load curves) and
FOLDER/codecarbon_windows.json (whole runs: totals of energy, water and emissions from ticks of load, RAPL and GPU
counters, on a clock of our own). --all-names takes every name of the processor table, not a sample. Fixed seed.
"""

import argparse
import json
import logging
import pathlib
import random
import tempfile
import types

from codecarbon import OfflineEmissionsTracker, emissions_tracker
from codecarbon.core import cpu as core_cpu
from codecarbon.core import rapl
from codecarbon.core.emissions import Emissions
from codecarbon.core.gpu_device import GPUDevice
from codecarbon.core.units import Energy, Time
from codecarbon.external import hardware
from codecarbon.external.geography import CloudMetadata, GeoMetadata
from codecarbon.external.ram import RAM
from codecarbon.input import DataSource

RANDOM = random.Random(20261124)
SOURCE = DataSource()
# Full days of load would say no more than minutes.
SCALE = (0.001, 5.0)


def energy():
    return round(RANDOM.uniform(*SCALE), 6)


def geo(country, region=None):
    return GeoMetadata(country_iso_code=country, country_name=country, region=region)


def place(country, region=None):
    kwh = energy()
    kg = Emissions(SOURCE).get_private_infra_emissions(Energy.from_energy(kwh), geo(country, region))
    return {"kind": "place", "country_iso_code": country, "region": region, "energy_kwh": kwh, "emissions_kg": kg}


def places():
    yield from (place(iso3) for iso3 in SOURCE.get_global_energy_mix_data())
    for state in (name for name in SOURCE.get_country_emissions_data("usa") if not name.startswith("_")):
        yield place("USA", RANDOM.choice((state, state.title(), state.upper())))
    for province in SOURCE.get_country_energy_mix_data("can"):
        yield place("CAN", RANDOM.choice((province, province.title())))
    for zone in SOURCE.get_nordic_country_energy_mix_data()["data"]:
        country = {"SE": "SWE", "NO": "NOR", "FI": "FIN"}[zone[:2]]
        yield place(country, RANDOM.choice((zone, zone.lower())))
    for row in SOURCE.get_china_provincial_emissions_data()["data"].values():
        for name in row["names"]:
            suffix = RANDOM.choice(("", " Province", " municipality", "  Autonomous   Region", " shi", " Sheng"))
            yield place("CHN", name.title() + suffix)
    yield from (place("CHN", name) for name in ("Tibet", "Xizang", "Hong Kong", "Macao", "Taiwan"))


def clouds():
    rows = SOURCE.get_cloud_emissions_data()
    named = [("gcp", region, "USA") for region in rows["region"]]
    for provider, region, country in [*named, ("aws", "us-east-1", "USA"), ("azure", "westeurope", "NLD")]:
        kwh = energy()
        kg = Emissions(SOURCE).get_cloud_emissions(
            Energy.from_energy(kwh), CloudMetadata(provider, region), geo(country)
        )
        yield {
            "kind": "cloud", "cloud_provider": provider, "cloud_region": region, "country_iso_code": country,
            "energy_kwh": kwh, "emissions_kg": kg,
        }


def memories():
    sizes = [0.25, 1, 2, 2.01, 4, 8, 8.5, 15.5, 16, 16.01, 24, 31, 32, 33, 64, 64.5, 96, 128, 128.01, 129, 192, 255,
             256, 257, 384, 500.7, 512, 640, 768, 1000, 1023, 1024, 1025, 1511.5, 2048, 3072, 4095, 4096, 12288]
    sizes += [round(RANDOM.uniform(0.5, 3000), 3) for _ in range(60)]
    for architecture in ("x86", "arm"):
        ram = RAM()
        ram.is_arm_cpu = architecture == "arm"
        for size in sizes:
            yield {
                "kind": "ram", "architecture": architecture, "memory_gb": size,
                "dimms": ram._estimate_dimm_count(size), "power_w": ram._calculate_ram_power(size),
            }


def dressed(name):
    """A name of the table as a machine might tell it."""
    for maker, told in (("Intel Xeon", "Intel(R) Xeon(R)"), ("Intel Core", "Intel(R) Core(TM)"), ("AMD EPYC", "AMD EPYC")):
        if name.startswith(maker):
            name = told + name[len(maker):]
    ghz = RANDOM.choice(("1.90", "2.60", "3.5", "2"))
    return RANDOM.choice((
        name, name.upper(), f"{name} CPU @ {ghz}GHz", f"{name} @ {ghz}GHz", f"{name} {RANDOM.choice((4, 16, 64))}-Core Processor",
        f"{name} with Radeon Graphics", f"{name} @ x @{ghz}GHz", name.replace("(R)", "\u00ae").replace("(TM)", "\u2122"),
        name.replace(" ", "_"), name.replace(" ", "\u00a0"), " ".join(RANDOM.sample(name.split(), len(name.split()))),
        " ".join(name.split()[1:]), " ".join(name.split()[:-1]), f"{name} \u00c4\u00df\u0130 \u00b2", f" {name} ", f"11th Gen {name} @ {ghz}GHz", name.replace("-", " "), f"{name} CPU",
    ))


def processors(every):
    tdp = core_cpu.TDP.__new__(core_cpu.TDP)
    names = list(SOURCE.get_cpu_power_data()["Name"])
    sample = names if every else RANDOM.sample(names, 300)
    odd = ["", "CPU", " CPU @ 2.0GHz", "Intel", "AMD", "Xeon", "Processor", "AMD EPYC", "EPYC 7763 AMD", "Intel(R)",
           "Intel(R) Xeon(R) Processor", "Intel Xeon Processor (Icelake)", "AMD EPYC-Rome Processor", "Neoverse-V2",
           "Apple M1", "Apple M4 Max", "ARMv8 Processor rev 1 (v8l)", "AMD Ryzen 9 7950X_3D", "Common KVM processor",
           "Intel(R) Xeon(R) CPU @ 2.20GHz", "Intel(R) Xeon(R) CPU E5-2686 v4 @ 2.30GHz", "DO-Regular", "0000000"]
    for model in [*sample, *map(dressed, sample), *odd]:
        try:
            watts = tdp._get_cpu_power_from_registry(model)
        except ValueError:
            continue  # four entries hold no number, and CodeCarbon ends there
        yield {"kind": "tdp", "cpu_model": model, "tdp_w": watts}


class Clock:
    """Stands in for the `time` module."""

    def __init__(self):
        self.now = 1000.0

    def perf_counter(self):
        return self.now

    time = monotonic = perf_counter

    def sleep(self, seconds):
        self.now += seconds


def processor(mode, tdp, tracking="machine"):
    return hardware.CPU.from_utils(".", mode, "made up", tdp, tracking_mode=tracking)


def curves():
    loads = [0, 0.1, 5, 10, 25, 33.333, 50, 75, 89.47368421052632, 99.9, 100]
    loads += [round(RANDOM.uniform(0, 100), 6) for _ in range(60)]
    for load in loads:
        tdp = RANDOM.choice((15, 28, 65.0, 85, 125, 280, 360.5, 700))
        cpu = processor("cpu_load", tdp)
        cpu._cpu_load_meter = types.SimpleNamespace(percent=lambda load=load: load)
        yield {"kind": "cpu_load", "tdp_w": tdp, "load_percent": load, "power_w": cpu._get_power_from_cpus().W}
    for _ in range(60):
        tdp, count = RANDOM.choice((28, 65, 280)), RANDOM.choice((1, 2, 8, 64, 192))
        seconds = round(RANDOM.uniform(0.2, 15), 6)
        used = round(RANDOM.uniform(0, seconds * count), 6)
        clock = hardware.time = Clock()
        cpu = processor("cpu_load", tdp, "process")
        cpu._cpu_count, cpu._last_measurement_time, cpu._last_cpu_times = count, clock.now, {1: 0.0}
        clock.now += seconds
        cpu._get_process_cpu_times = lambda used=used: {1: used}
        yield {
            "kind": "cpu_process", "tdp_w": tdp, "cpu_seconds": used, "seconds": clock.now - 1000.0,
            "cpu_count": count, "power_w": cpu._get_power_from_cpus().W,
        }
    for tdp in (85, 10, 123.4, 360):
        yield {"kind": "cpu_constant", "tdp_w": tdp, "power_w": processor("constant", tdp)._get_power_from_cpus().W}


class Gpu(GPUDevice):
    """A GPU whose counter goes where it is told."""

    millijoules = 0

    def _get_total_energy_consumption(self):
        return self.millijoules

    def _get_gpu_name(self):
        return "made up"

    def _get_uuid(self):
        return "made up"

    def _init_static_details(self):
        self._gpu_name = self._uuid = "made up"

    def _get_power_usage(self):
        return 0.0


def gpus(devices):
    gpu = hardware.GPU.__new__(hardware.GPU)
    gpu.gpu_ids, gpu.num_gpus, gpu._gpu_ids_resolved = list(range(len(devices))), len(devices), True

    def deltas(duration):
        for device in devices:
            device.delta(duration)
        return [
            {"gpu_index": device.gpu_index, "delta_energy_consumption": device.energy_delta, "power_usage": device.power}
            for device in devices
        ]

    gpu.devices = types.SimpleNamespace(get_delta=deltas, sample_power=lambda gpu_ids: None)
    return gpu


class Package:
    """RAPL on files of our own."""

    def __init__(self, folder):
        self.energy, top = folder / "energy_uj", folder / "max_energy_range_uj"
        self.total, self.wrap = 250_000_000_000, 262_143_328_850
        top.write_text(str(self.wrap))
        self.set(0)
        self.file = rapl.RAPLFile("Processor Energy Delta_0(kWh)", str(self.energy), str(top))
        self.file.start()
        self.details = {}

    def set(self, more):
        self.total = (self.total + more) % self.wrap
        self.energy.write_text(str(self.total))

    def get_cpu_details(self, duration):
        self.file.delta(duration)
        self.details = {self.file.name: self.file.energy_delta.kWh}
        return self.details

    def get_static_cpu_details(self):
        return {"Processor Power Delta_0(kWh)": self.file.power.W}


def window(place_of, with_rapl, gpu_count, folder):
    country, region = place_of
    clock = Clock()
    emissions_tracker.time = hardware.time = clock
    pue, wue = RANDOM.choice(((1.0, 0.0), (1.2, 0.0), (1.58, 1.8)))
    tracker = OfflineEmissionsTracker(
        country_iso_code=country, region=region, save_to_file=False, pue=pue, wue=wue, log_level="critical",
        measure_power_secs=1e9, allow_multiple_runs=True,
    )
    tdp, gigabytes = RANDOM.choice((65, 105, 280.0)), RANDOM.choice((7.6, 23.54, 64, 251.6, 1007.5))
    ram = RAM()
    ram.__class__ = type("FixedRam", (RAM,), {"machine_memory_GB": gigabytes})
    cpu = processor("cpu_load", tdp)
    loads = []
    cpu._cpu_load_meter = types.SimpleNamespace(percent=lambda: loads[-1], reset=lambda: None)
    package = Package(folder) if with_rapl else None
    if package:
        cpu._mode, cpu._intel_interface = "intel_rapl", package
    devices = [Gpu(handle=None, gpu_index=index) for index in range(gpu_count)]
    for device in devices:
        device.start()
    tracker._hardware = [ram, cpu, *([gpus(devices)] if devices else [])]
    tracker._hardware_initialized = True
    tracker._start_time = tracker._last_measured_time = clock.now
    cpu._last_sample_time = clock.now
    ticks = []
    for _ in range(RANDOM.randint(1, 8)):
        for last in (False, False, False, True):
            seconds, before = round(RANDOM.uniform(0.2, 4), 4), clock.now
            clock.now += seconds
            loads.append(round(RANDOM.uniform(0, 100), 3))
            tick = {"seconds": clock.now - before, "gpu_mj": []}
            if package:
                tick["rapl_uj"] = RANDOM.randint(1_000_000, 3_000_000_000)
                package.set(tick["rapl_uj"])
            else:
                tick["cpu_load_percent"] = loads[-1]
            for device in devices:
                tick["gpu_mj"].append(RANDOM.randint(10_000, 2_800_000))
                device.millijoules += tick["gpu_mj"][-1]
            ticks.append(tick)
            if last:
                tracker._measure_power_and_energy()
            elif not package:
                cpu.monitor_power()
    data = tracker._prepare_emissions_data()
    return {
        "kind": "window", "country_iso_code": country, "region": region, "pue": pue, "wue": wue, "tdp_w": tdp,
        "ram_gb": gigabytes, "ticks": ticks, "cpu_energy_kwh": data.cpu_energy, "gpu_energy_kwh": data.gpu_energy,
        "ram_energy_kwh": data.ram_energy, "energy_consumed_kwh": data.energy_consumed,
        "water_litres": data.water_consumed, "emissions_kg": data.emissions,
    }


def windows():
    grids = [("USA", None), ("FRA", None), ("USA", "california"), ("CAN", "ontario"), ("NOR", "NO4"), ("CHN", "Sichuan")]
    for index in range(120):
        with tempfile.TemporaryDirectory() as folder:
            yield window(grids[index % len(grids)], index % 3 == 1, index % 4, pathlib.Path(folder))


def write(path, cases):
    cases = list(cases)
    path.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")
    print(f"{path}: {len(cases)} cases")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--all-names", action="store_true")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    write(args.folder / "codecarbon_windows.json", windows())
    kinds = (places(), clouds(), memories(), curves(), processors(args.all_names))
    write(args.folder / "codecarbon_vectors.json", (case for kind in kinds for case in kind))


if __name__ == "__main__":
    main()
