//! Speed-up against threads as an SVG file: what was measured, with quartiles.
//!
//! Text is left to whoever shows the file, so no font is needed here. The file
//! appears whole or not at all.

use std::{
    io::{self, Write},
    path::Path,
};

use forewave::bench::{BenchReport, Figures, ratio};
use plotters::{
    chart::{ChartBuilder, SeriesLabelPosition},
    drawing::{DrawingAreaErrorKind, IntoDrawingArea},
    element::{Circle, PathElement},
    prelude::{IntoLogRange, SVGBackend},
    series::LineSeries,
    style::{BLACK, Color, RGBColor, WHITE},
};

use crate::cli::whole_file;

/// Width and height of the picture.
const SIZE: (u32, u32) = (800, 500);

/// The colour of what was measured.
const MEASURED: RGBColor = RGBColor(0x1f, 0x4e, 0x9e);

/// The colour of sequential execution.
const SEQUENTIAL: RGBColor = RGBColor(0x88, 0x88, 0x88);

/// Room above the highest point, as a factor.
const HEADROOM: f64 = 1.15;

/// Why there is no plot.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum PlotError {
    /// The picture could not be drawn.
    #[error("the plot could not be drawn: {0}")]
    Drawing(String),
    /// The file could not be written.
    #[error("{file} could not be written: {source}")]
    Unwritable {
        /// The file.
        file: String,
        /// Why not.
        source: io::Error,
    },
}

impl<E: std::error::Error + Send + Sync> From<DrawingAreaErrorKind<E>> for PlotError {
    fn from(error: DrawingAreaErrorKind<E>) -> Self {
        Self::Drawing(error.to_string())
    }
}

/// Checks before the work that a plot can be written: only an earlier plot is replaced.
pub(super) fn check(path: &Path) -> Result<(), PlotError> {
    let (width, height) = SIZE;
    let begin = format!("<svg width=\"{width}\" height=\"{height}\"");
    whole_file::check(path, |bytes| bytes.starts_with(begin.as_bytes()))
        .map_err(|source| unwritable(path, source))
}

/// Draws what all blocks together gain.
pub(super) fn write(path: &Path, report: &BenchReport) -> Result<(), PlotError> {
    let Some(total) = &report.total else { return Ok(()) };
    let mut svg = String::new();
    draw(&mut svg, &title(report), total)?;
    whole_file::write(path, |to| to.write_all(svg.as_bytes()))
        .map_err(|source| unwritable(path, source))
}

fn unwritable(path: &Path, source: io::Error) -> PlotError {
    PlotError::Unwritable { file: path.display().to_string(), source }
}

fn title(report: &BenchReport) -> String {
    match report.blocks.as_slice() {
        [block] => format!("{}: speed-up over sequential execution", block.block.block),
        blocks => format!("{} blocks: speed-up over sequential execution", blocks.len()),
    }
}

fn draw(svg: &mut String, title: &str, figures: &Figures) -> Result<(), PlotError> {
    let Figures { measured, sequential } = figures;
    let points: Vec<_> = measured.iter().map(|row| (threads(row.threads), row.speedup)).collect();
    let bars: Vec<_> = measured
        .iter()
        .map(|row| {
            let [low, high] = [row.total_ms.upper, row.total_ms.lower]
                .map(|total| ratio(sequential.total_ms.median, total));
            (threads(row.threads), low, high)
        })
        .collect();
    let top = bars.iter().map(|bar| bar.2).fold(1.0, f64::max) * HEADROOM;
    let last = points.iter().map(|point| point.0).fold(2.0, f64::max);

    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d((1.0..last).log_scale().base(2.0), 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .x_desc("threads")
        .y_desc("speed-up")
        .x_label_formatter(&|threads| format!("{threads:.0}"))
        .y_label_formatter(&|speedup| format!("{speedup:.1}"))
        .label_style(("sans-serif", 14))
        .draw()?;
    chart.draw_series(LineSeries::new([(1.0, 1.0), (last, 1.0)], &SEQUENTIAL))?;
    chart
        .draw_series(LineSeries::new(points.clone(), MEASURED.stroke_width(2)))?
        .label("measured, with quartiles")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], MEASURED.stroke_width(2)));
    chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, MEASURED.filled())))?;
    chart.draw_series(bars.iter().map(|&(threads, low, high)| {
        PathElement::new([(threads, low), (threads, high)], MEASURED.stroke_width(2))
    }))?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font(("sans-serif", 14))
        .draw()?;
    area.present()?;
    Ok(())
}

/// A number of threads as a coordinate.
fn threads(count: usize) -> f64 {
    count as f64
}
