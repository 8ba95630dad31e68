//! Text in columns, and in lines of a width.

/// A table whose first column is names, and whose others are figures.
#[derive(Debug)]
pub(super) struct Grid(Vec<Vec<String>>);

impl Grid {
    /// Returns a table with this head and no rows.
    pub(super) fn new(head: Vec<String>) -> Self {
        Self(vec![head])
    }

    /// Adds a row of as many cells as the head has.
    pub(super) fn add(&mut self, row: Vec<String>) {
        self.0.push(row);
    }

    /// Returns the table, with its line feeds.
    pub(super) fn show(&self) -> String {
        let width = |column: usize| {
            let cells = self.0.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.0[0].len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells =
                row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        self.0.iter().map(line).collect()
    }
}

/// Returns `text` in lines of at most `width` characters where its words permit, all but the first
/// of them indented.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let fits = line.chars().count() + 1 + word.chars().count() <= width;
        if !line.trim_start().is_empty() && !fits && !word.starts_with('%') {
            lines.push(std::mem::replace(&mut line, format!("  {word}")));
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_to_the_left_and_figures_to_the_right() {
        let mut grid = Grid::new(["", "ms"].map(str::to_owned).to_vec());
        grid.add(["tcp", "1.000"].map(str::to_owned).to_vec());
        grid.add(["größer", "-"].map(str::to_owned).to_vec());
        assert_eq!(grid.show(), "           ms\ntcp     1.000\ngrößer      -\n");
    }

    #[test]
    fn a_line_is_broken_between_words_alone() {
        assert_eq!(wrapped("one two three", 8), ["one two", "  three"]);
        assert_eq!(wrapped("one 7 %", 5), ["one 7 %"], "a figure stays with its sign");
        assert_eq!(wrapped("unbreakable", 3), ["unbreakable"]);
        assert_eq!(wrapped("", 3), [""]);
    }
}
