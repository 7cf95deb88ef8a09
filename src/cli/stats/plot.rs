//! The parallelism of blocks, in their order, as an SVG file.

use std::{
    io::{self, Write},
    path::Path,
};

use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    drawing::IntoDrawingArea,
    element::{Circle, PathElement},
    prelude::SVGBackend,
    series::LineSeries,
    style::{BLACK, Color, RGBColor, WHITE},
};

use super::csv::Row;
use crate::cli::{bench::PlotError, diagnostic::Failure, whole_file};

/// Width and height of the picture.
const SIZE: (u32, u32) = (900, 500);

/// The colours of the blocks as they are, and without the order of payments.
const AS_IT_IS: RGBColor = RGBColor(0x1f, 0x4e, 0x9e);
const PAYMENTS_IGNORED: RGBColor = RGBColor(0xd9, 0x7b, 0x1c);

/// Room above the highest point, as a factor.
const HEADROOM: f64 = 1.1;

/// Checks before the work that a plot can be written: only an earlier plot is replaced.
pub(super) fn check(path: &Path) -> Result<(), Failure> {
    let begin = format!("<svg width=\"{}\" height=\"{}\"", SIZE.0, SIZE.1);
    whole_file::check(path, |bytes| bytes.starts_with(begin.as_bytes()))
        .map_err(|source| unwritable(path, source))
}

/// Draws all blocks.
pub(super) fn write(path: &Path, rows: &[Row]) -> Result<(), Failure> {
    let mut svg = String::new();
    draw(&mut svg, rows)?;
    whole_file::write(path, |to| to.write_all(svg.as_bytes()))
        .map_err(|source| unwritable(path, source))
}

fn unwritable(path: &Path, source: io::Error) -> Failure {
    Failure::File { file: path.to_owned(), what: "plot", source }
}

fn draw(svg: &mut String, rows: &[Row]) -> Result<(), PlotError> {
    let series = [
        ("as it is", AS_IT_IS, Row::as_it_is as fn(&Row) -> f64),
        ("payments of senders order nothing", PAYMENTS_IGNORED, Row::payments_ignored),
    ];
    let values = rows.iter().flat_map(|row| series.map(|(.., value)| value(row)));
    let top = values.fold(1.0, f64::max) * HEADROOM;
    let last = rows.len().max(2) as f64;

    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let title = format!("parallelism of {} blocks", rows.len());
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(1.0..last, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_desc("block, in the order given")
        .y_desc("work over span")
        .x_label_formatter(&|block| format!("{block:.0}"))
        .y_label_formatter(&|value| format!("{value:.1}"))
        .label_style(("sans-serif", 14))
        .draw()?;
    for (label, colour, value) in series.into_iter().rev() {
        let points: Vec<(f64, f64)> =
            rows.iter().enumerate().map(|(at, row)| ((at + 1) as f64, value(row))).collect();
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(2)))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font(("sans-serif", 14))
        .draw()?;
    area.present()?;
    drop(chart);
    drop(area);
    Ok(())
}

impl Row {
    const fn as_it_is(&self) -> f64 {
        self.parallelism
    }

    const fn payments_ignored(&self) -> f64 {
        self.payments_ignored
    }
}
