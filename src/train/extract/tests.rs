//! What is found in sources of each language.

use super::*;

fn found(language: Language, text: &str) -> Vec<(String, Option<String>)> {
    definitions(language, text)
        .into_iter()
        .map(|found| (found.name, first_words(&found.comment)))
        .collect()
}

fn pair(name: &str, comment: &str) -> (String, Option<String>) {
    let comment = (!comment.is_empty()).then(|| comment.to_owned());
    (name.to_owned(), comment)
}

#[test]
fn python() {
    let text = r#"
class A:
    @cached
    async def load_it(self,
                      path: str = "a:b") -> str:
        """Loads the whole thing.

        Args:
            path: where it is
        """
        return await self.inner.load(path)

    def undocumented(self):
        def inner(): return 1
        return inner() + self.more
def tiny(): return 1
"#;
    assert_eq!(
        found(Language::Python, text),
        [
            pair("load_it", "Loads the whole thing."),
            pair("undocumented", "")
        ]
    );
    let all = definitions(Language::Python, text);
    assert!(all[0].code.contains("a:b") && all[0].code.contains("return await"));
    assert!(!all[0].code.contains("whole") && !all[0].code.contains("undocumented"));
}

#[test]
fn rust() {
    let text = r#"
/// Opens the file with `name`.
///
/// # Errors
/// Many.
#[must_use]
pub fn open<'a, T: Into<String>>(name: &'a str, more: T) -> io::Result<File>
where
    T: Clone,
{
    if name == "}" { return Err('{'.into()); }
    File::open(name)
}

// Not directly before.

fn plain_function(a: u32, b: u32) -> u32 { a.wrapping_add(b) }
"#;
    assert_eq!(
        found(Language::Rust, text),
        [
            pair("open", "Opens the file with name ."),
            pair("plain_function", "")
        ]
    );
    assert!(
        definitions(Language::Rust, text)[0]
            .code
            .ends_with("File::open(name)\n}")
    );
}

#[test]
fn javascript() {
    let text = r"
/**
 * Sorts the {@link List} by <b>name</b>.
 * @param {List} list
 */
export const sortByName = async (list, { deep = false }) => { return list.sort(byName); };
/** Adds one to the number. */
exports.addOne = function (number) { return number + 1; /* } */ };
class A {
  // Tells whether anything is left.
  hasMore(x) { return this.rest.length > 0 || `}${x}`; }
}
if (a) { b(function () { return 1; }); }
describe('x', () => { it('does things in a test', () => { return 1; }); });
";
    let found = found(Language::JavaScript, text);
    assert!(
        found.contains(&pair("addOne", "Adds one to the number.")),
        "{found:?}"
    );
    assert!(
        found.contains(&pair("hasMore", "Tells whether anything is left.")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .all(|(name, _)| !["if", "describe", "it"].contains(&name.as_str()))
    );
}

#[test]
fn java() {
    let text = "
class A {
    /**
     * Returns the parent of this node.
     * @return the parent
     */
    @Override
    public Node getParent(final int depth) throws IOException { return parents.get(depth); }
    /** {@inheritDoc} */
    public int size() { return this.elements.size() + 1000; }
}";
    assert_eq!(
        found(Language::Java, text),
        [
            pair("getParent", "Returns the parent of this node."),
            pair("size", "")
        ]
    );
}

#[test]
fn c() {
    let text = r#"
#include <stdio.h>
/* Frees the list and
 * all of its items. */
static void list_free(struct list *list)
{
    while (list) { struct list *next = list->next; free(list); list = next; }
}
/* A declaration only. */
int declared(int a);
namespace x {
/// \brief Finds the key in the map.
template <typename K>
bool Map<K>::find(const K &key) const { return index_of(key) != npos; }
}
"#;
    assert_eq!(
        found(Language::C, text),
        [
            pair("list_free", "Frees the list and all of its items."),
            pair("find", "Finds the key in the map.")
        ]
    );
}

#[test]
fn go() {
    let text = "
// Close closes the connection and
// waits for the rest.
func (c *Conn) Close(ctx context.Context) error {
\treturn c.inner.Close(ctx)
}
func NewConn(a string) (*Conn, error) { return &Conn{address: a}, nil }
";
    assert_eq!(
        found(Language::Go, text),
        [
            pair(
                "Close",
                "Close closes the connection and waits for the rest."
            ),
            pair("NewConn", "")
        ]
    );
}

#[test]
fn comments_that_say_nothing() {
    for comment in [
        "",
        "TODO: write this",
        "@param x the thing",
        "----------",
        "x = foo(y); z[1] += 2;",
        "Copyright (c) the authors of this",
        "one two",
        ":param x: the thing",
    ] {
        assert_eq!(first_words(comment), None, "{comment}");
    }
    let long = "many words ".repeat(100);
    assert_eq!(first_words(&long).unwrap().split(' ').count(), 50);
}

#[test]
fn no_text_makes_it_fail() {
    for text in [
        "def",
        "def f(",
        "def é(x):\n",
        "/*",
        "//",
        "fn f(",
        "fn f() {",
        "fn f() { \"",
        "f('",
        "func (",
        "}{)(",
        "def f():\n    \"\"\"",
        "é(é){é}",
        "@",
        "f() { // ",
        "f() { /* ",
        "x = (function() {",
        "a<b>(c) { 'é' }",
        "operator()(int x) { return x + 1000000000000; }",
    ] {
        for language in [Language::Python, Language::C, Language::Rust] {
            for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
                definitions(language, &text[..end]);
            }
            definitions(language, &text.repeat(50));
        }
    }
}

#[test]
fn remarks_with_the_lines_under_them() {
    let python = r#"def load(path):
    x = 1  # not on a line of its own
    # Read the whole file
    # as bytes
    with open(path, "rb") as file:
        data = file.read()
    # sort by name
    names = sorted(data)

    later = 1
    if data:
        # drop the last one
        data.pop(len(data) - 1)
    return data
    # x = y
"#;
    let own = |comment: &str, code: &str| (comment.to_owned(), code.to_owned());
    assert_eq!(
        remarks(Language::Python, python),
        [
            own(
                "Read the whole file\nas bytes",
                "with open(path, \"rb\") as file:\n    data = file.read()"
            ),
            own("sort by name", "names = sorted(data)"),
            own("drop the last one", "data.pop(len(data) - 1)"),
        ]
    );
    let rust = "fn f() {\n    //// Doubles it.\n    let twice = 2 * number;\n}\n";
    assert_eq!(
        remarks(Language::Rust, rust),
        [own("Doubles it.", "let twice = 2 * number;")]
    );
    let long = format!("# many\n{}", "call(something)\n".repeat(20));
    assert_eq!(remarks(Language::Python, &long)[0].1.lines().count(), 8);
}
