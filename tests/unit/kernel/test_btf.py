"""The contract between the compiled objects and the Python that reads their records."""

import numpy as np
import pytest

from schedtel.errors import CapabilityError
from schedtel.kernel.btf import ObjectTypes, check_contract, dtype_members
from schedtel.kernel.core.programs import object_image, packed
from schedtel.kernel.libbpf import BpfObject, libbpf
from schedtel.records import layout


@pytest.fixture(scope="module", params=["core", "core_walk"])
def raw_btf(request) -> bytes:
    """The types of each object that ships; opening it needs libbpf and no privilege."""
    try:
        libbpf()
        image = object_image(request.param)
    except CapabilityError as error:
        pytest.skip(str(error))
    opened = BpfObject(image)
    yield opened.raw_btf()
    opened.close()


def test_the_object_that_ships_keeps_the_contract(raw_btf):
    structs = ObjectTypes(raw_btf).structs()
    check_contract(structs, layout.CONTRACT)
    assert structs.keys() >= layout.CONTRACT.keys()


def changed(dtype: np.dtype, how: str) -> np.dtype:
    """The dtype with one thing different."""
    fields = dtype.descr
    if how == "renamed":
        fields[1] = ("another", *fields[1][1:])
    elif how == "narrower":
        last = max(index for index, name in enumerate(dtype.names) if dtype[name].itemsize > 1)
        fields[last] = (fields[last][0], "u1")
    elif how == "longer":
        fields.append(("more", "<u8"))
    else:
        fields[0], fields[1] = fields[1], fields[0]
    return np.dtype(fields)


@pytest.mark.parametrize("how", ["renamed", "narrower", "longer", "swapped"])
@pytest.mark.parametrize("name", ["bank", "task_record", "samples", "losses", "settings"])
def test_a_layout_that_differs_is_refused_by_name(raw_btf, name, how):
    contract = layout.CONTRACT | {name: changed(layout.CONTRACT[name], how)}
    with pytest.raises(CapabilityError, match=f"struct {name} differs") as caught:
        check_contract(ObjectTypes(raw_btf).structs(), contract)
    assert "\n" not in str(caught.value)


def as_tuples(value):
    return tuple(map(as_tuples, value)) if isinstance(value, list) else value


def test_settings_are_packed_as_numpy_would(raw_btf):
    """Each field gets a value of its own: a field in the place of another, or of another's size, shows."""
    record, values = np.zeros(1, layout.SETTINGS), {}
    for number, name in enumerate(layout.SETTINGS.names, 1):
        shape, size = layout.SETTINGS[name].shape, layout.SETTINGS[name].base.itemsize
        value = number << 8 * (size - 1)
        values[name] = as_tuples((value + np.arange(np.prod(shape, dtype=int))).reshape(shape).tolist())
        record[name] = values[name]
    members = ObjectTypes(raw_btf).structs()["settings"]
    assert packed(members, values) == record.tobytes()
    assert packed(members, {}) == bytes(layout.SETTINGS.itemsize)


def test_a_setting_that_the_object_does_not_have_is_refused(raw_btf):
    with pytest.raises(CapabilityError, match="its settings have no volume"):
        packed(ObjectTypes(raw_btf).structs()["settings"], {"tid": 1, "volume": 11})


def test_a_struct_the_object_does_not_have_is_refused(raw_btf):
    with pytest.raises(CapabilityError, match="struct nowhere differs"):
        check_contract(ObjectTypes(raw_btf).structs(), {"nowhere": layout.BANK})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x9f\xeb\x01",
        bytes(64),
        b"not BTF at all, but longer than a header",
    ],
)
def test_bytes_that_are_no_btf_are_refused(raw):
    with pytest.raises(CapabilityError, match="BTF"):
        ObjectTypes(raw)


def test_an_image_that_is_no_object_is_refused():
    try:
        libbpf()
    except CapabilityError as error:
        pytest.skip(str(error))
    with pytest.raises(CapabilityError, match="cannot open the BPF object"):
        BpfObject(b"not an ELF file")


def test_dtypes_have_the_gaps_of_c_only_where_they_are_named():
    for name, dtype in layout.CONTRACT.items():
        members = dtype_members(dtype)
        ends = [member.offset + member.size for member in members[:-1]]
        assert ends == [member.offset for member in members[1:]], name


def test_records_fill_whole_words_of_the_ring():
    assert layout.TASK_RECORD.itemsize % 8 == 0
    assert layout.BANK.itemsize % 64 == 0
