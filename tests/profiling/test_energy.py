"""Energy from trees laid out as the kernel documents them, and from the output of the Raspberry Pi's own command."""

from __future__ import annotations

import time

import pytest

from profiling import energy


@pytest.fixture(autouse=True)
def own_commands(tmp_path, monkeypatch):
    """Whatever this machine has beside Python is out of the way."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def test_no_sensor_no_figure(machine):
    assert energy.find() is None


def test_rapl_counts_microjoules_and_wraps(machine):
    zone = "sys/class/powercap/intel-rapl:0"
    machine(f"{zone}/name", "package-0\n")
    machine(f"{zone}/max_energy_range_uj", "999999\n")
    machine(f"{zone}/energy_uj", "900000\n")
    machine("sys/class/powercap/intel-rapl:0:0/name", "core\n")
    account = energy.find()()
    for after in ("950000\n", "150000\n"):  # 50 mJ, then 200 mJ across the end of the range
        with account.during():
            machine(f"{zone}/energy_uj", after)
    told = account.each(runs=10)
    assert told["joules"] == 0.025 and told["source"] == "RAPL, CPU packages"


def test_rapl_that_only_root_may_read_is_absent(machine):
    machine("sys/class/powercap/intel-rapl:0/name", "package-0\n")
    machine("sys/class/powercap/intel-rapl:0/max_energy_range_uj", "999999\n")
    assert energy.find() is None


@pytest.mark.parametrize(
    ("labels", "watts", "name"),
    [
        (("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"), 5.0, "INA3221, VDD_IN"),  # the module's whole input
        (("VDD_GPU_SOC", "VDD_CPU_CV", "NC"), 7.0, "INA3221, VDD_GPU_SOC+VDD_CPU_CV"),
    ],
)
def test_jetson_rails(machine, labels, watts, name):
    machine("sys/class/hwmon/hwmon0/name", "pwmfan\n")
    machine("sys/class/hwmon/hwmon1/name", "ina3221\n")
    for number, (label, milliamperes) in enumerate(zip(labels, (1000, 400, 700), strict=True), 1):
        machine(f"sys/class/hwmon/hwmon1/in{number}_label", label)
        machine(f"sys/class/hwmon/hwmon1/in{number}_input", "5000\n")
        machine(f"sys/class/hwmon/hwmon1/curr{number}_input", f"{milliamperes}\n")
    account = energy.find()()
    with account.during():
        time.sleep(0.3)
    told = account.each(runs=3)
    assert told["watts"] == pytest.approx(watts) and told["source"] == name
    assert told["joules"] == pytest.approx(watts * 0.3 / 3, rel=0.2)


def test_too_few_readings_are_no_average(machine):
    machine("sys/class/hwmon/hwmon1/name", "ina3221\n")
    for name, value in (("in1_label", "VDD_IN"), ("in1_input", "5000"), ("curr1_input", "1000")):
        machine(f"sys/class/hwmon/hwmon1/{name}", value)
    account = energy.find()()
    with account.during():
        pass
    assert account.each(runs=1) is None


def test_the_pmic_of_a_raspberry_pi_5(machine, tmp_path):
    printed = """ 3V7_WL_SW_A current(0)=0.10000000A
   VDD_CORE_A current(7)=2.00000000A
 3V7_WL_SW_V volt(8)=3.70000000V
   VDD_CORE_V volt(15)=0.75000000V
      EXT5V_V volt(24)=5.14670000V"""
    machine("bin/vcgencmd", f"#!/bin/sh\nprintf '%s' '{printed}'\n")
    (tmp_path / "bin/vcgencmd").chmod(0o755)
    account = energy.find()()
    with account.during():
        time.sleep(0.6)
    told = account.each(runs=6)
    assert told["watts"] == pytest.approx(0.1 * 3.7 + 2 * 0.75) and told["source"].startswith("PMIC rails")


def test_earlier_raspberry_pis_have_no_such_sensor(machine, tmp_path):
    machine("bin/vcgencmd", "#!/bin/sh\necho 'error=1 error_msg=\"Command not registered\"'\n")
    (tmp_path / "bin/vcgencmd").chmod(0o755)
    assert energy.find() is None
