from mixedlab.exercises.report import read_class


def test_page_counts_common_errors(class_folder, tmp_path):
    page = read_class(class_folder).page()
    assert "<td>2</td><td>more data taken as less pooling</td>" in page
    assert "<td>2</td><td>no pooling scored</td>" in page, "also those mended later count"
    assert "<td>1</td><td>answered 123.0</td>" in page
    assert "Solved by 2, not solved by 1, left blank by 0." in page
    assert "&lt;i&gt;cy" in page
    assert "<i>" not in page


def test_matrix_shows_the_class_and_no_text_as_html(class_folder):
    page = read_class(class_folder).matrix()
    assert '<th scope="row">ada</th><td class="solved" title="solved">✓ 1</td>' in page
    assert "&lt;i&gt;cy" in page
    assert "<i>" not in page
    assert '<th scope="row">solved by</th><td>2</td><td>1</td><td>0</td>' in page
