from object2vec_tf.ragged.static_layout import BatchShape, Layout, SideLayout


def test_fields_follow_each_other_without_gaps():
    layout = Layout(
        sides=(SideLayout(4), SideLayout(8, gap=1)),
        tied=True,
        vocab_sizes=(100, 100),
        real_labels=False,
        negatives=3,
        lists_known=True,
        has_frequencies=True,
    )
    shape = BatchShape(layout, 5, (30,), (6, 7), (2, 3), known=11)
    fields = list(shape.fields().values())
    assert fields[0].start == 0
    assert [f.start for f in fields[1:]] == [f.stop for f in fields[:-1]]
    by_hand = 30 + (24 + 6 + 6 + 5) + (56 + 7 + 6 + 5) + 5 + 5 + 1 + 15 + 10 + 11 + 10
    assert shape.size == by_hand


def test_tied_sides_share_a_table():
    layout = Layout((SideLayout(1), SideLayout(1)), True, (9, 9), real_labels=False)
    untied = Layout((SideLayout(1), SideLayout(1)), False, (9, 9), real_labels=False)
    assert [BatchShape(layout, 1, (2,), (2, 2), (1, 1)).table(s) for s in (0, 1)] == [
        0,
        0,
    ]
    assert [BatchShape(untied, 1, (2, 2), (2, 2), (1, 1)).table(s) for s in (0, 1)] == [
        0,
        1,
    ]
