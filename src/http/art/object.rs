//! One drawing a kind, in plain geometry. All stand on the same ground line near y = 400.

use super::kind::Kind;
use super::{Canvas, Palette};

/// Draws the object of this kind; `brand` is already escaped and may be empty.
pub(super) fn draw(canvas: &mut Canvas, kind: Kind, brand: &str) {
    match kind {
        Kind::Tv => tv(canvas, brand),
        Kind::Monitor => monitor(canvas, brand),
        Kind::Projector => projector(canvas, brand),
        Kind::Printer => printer(canvas, brand),
        Kind::Toner => toner(canvas, brand),
        Kind::Ink => ink(canvas, brand),
        Kind::Paper => paper(canvas, brand),
        Kind::Cable => cable(canvas),
        Kind::Laptop => laptop(canvas, brand),
        Kind::Desktop => desktop(canvas, brand),
        Kind::Server => server(canvas, brand),
        Kind::Phone => phone(canvas, brand),
        Kind::Camera => camera(canvas, brand),
        Kind::Headphones => headphones(canvas),
        Kind::Speaker => speaker(canvas, brand),
        Kind::Storage => storage(canvas, brand),
        Kind::Memory => memory(canvas, brand),
        Kind::Network => network(canvas, brand),
        Kind::Power => power(canvas, brand),
        Kind::Battery => battery(canvas, brand),
        Kind::Input => input(canvas, brand),
        Kind::Software => software(canvas, brand),
        Kind::Bag => bag(canvas, brand),
        Kind::Home => home(canvas, brand),
        Kind::Other => parcel(canvas, brand),
    }
}

/// What a screen shows: hills under a sun, waves, or bars.
fn picture(c: &mut Canvas, at: (i32, i32), size: (i32, i32)) {
    let Palette { mid, pale, pop, .. } = *c.palette;
    let ((x, y), (w, h)) = (at, size);
    let (right, bottom) = (x + w, y + h);
    c.rect(at, size, 4, pale);
    match c.dice.pick(3) {
        0 => {
            let sun = x + w * c.dice.between(25, 75) / 100;
            c.circle((sun, y + h * 2 / 5), h / 6, pop);
            c.path(
                &format!(
                    "M{x} {bottom}V{}L{} {}L{} {bottom}z",
                    y + h * 7 / 10,
                    x + w / 3,
                    y + h * 9 / 20,
                    x + w * 3 / 4
                ),
                mid,
            );
            c.path(
                &format!(
                    "M{} {bottom}L{} {}L{right} {}V{bottom}z",
                    x + w * 2 / 5,
                    x + w * 7 / 10,
                    y + h / 2,
                    y + h * 4 / 5
                ),
                mid,
            );
        }
        1 => {
            for step in 0..3 {
                let top = y + h * (4 + step * 2) / 10;
                let lift = c.dice.between(10, 34);
                let fill = if step == 1 { pop } else { mid };
                c.path(
                    &format!(
                        "M{x} {top}C{} {} {} {} {right} {top}V{bottom}H{x}z",
                        x + w / 3,
                        top - lift,
                        x + w * 2 / 3,
                        top + lift
                    ),
                    fill,
                );
            }
        }
        _ => {
            let bar = w / 9;
            for step in 0..5 {
                let tall = h * c.dice.between(25, 80) / 100;
                let fill = if step == 2 { pop } else { mid };
                c.rect(
                    (x + bar / 2 + bar * step * 17 / 10, bottom - tall),
                    (bar, tall),
                    3,
                    fill,
                );
            }
        }
    }
}

fn tv(c: &mut Canvas, brand: &str) {
    let Palette { deep, pale, .. } = *c.palette;
    if c.dice.pick(2) == 0 {
        c.line("M150 352L132 398M330 352L348 398", deep, 10);
    } else {
        c.path("M222 350h36v34h62a8 8 0 0 1 8 14H152a8 8 0 0 1 8-14h62z", deep);
    }
    c.rect((62, 132), (356, 226), 12, deep);
    picture(c, (74, 144), (332, 188));
    c.text((240, 350), 13, pale, brand);
}

fn monitor(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, .. } = *c.palette;
    c.path("M214 330h52l8 56h44a8 8 0 0 1 0 14H162a8 8 0 0 1 0-14h44z", mid);
    c.rect((92, 104), (296, 234), 14, deep);
    picture(c, (106, 118), (268, 186));
    c.text((240, 327), 14, pale, brand);
}

fn projector(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.raw(&format!(
        r#"<path d="M164 300L20 190V400z" fill="{pop}" opacity=".35"/>"#
    ));
    c.rect((120, 246), (270, 128), 26, mid);
    c.rect((120, 318), (270, 56), 26, deep);
    c.circle((178, 300), 46, deep);
    c.circle((178, 300), 32, pale);
    c.circle((178, 300), 15, pop);
    for step in 0..4 {
        c.rect((276 + step * 24, 268), (10, 34), 5, deep);
    }
    c.rect((150, 372), (34, 26), 6, deep);
    c.rect((326, 372), (34, 26), 6, deep);
    c.text((300, 353), 18, pale, brand);
}

fn printer(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    let lean = c.dice.between(-14, 14);
    c.path(&format!("M{} 96H{}L336 220H144z", 158 + lean, 322 + lean), pale);
    c.rect((96, 204), (288, 168), 22, mid);
    c.rect((96, 204), (288, 66), 22, deep);
    c.rect((96, 246), (288, 24), 0, deep);
    c.circle((346, 238), 11, pop);
    c.rect((292, 232), (34, 12), 6, pale);
    c.rect((132, 300), (216, 16), 8, deep);
    c.path("M150 310H330L346 398H134z", "#ffffff");
    c.line("M176 338H304M172 358H286M166 378H312", mid, 6);
    c.text((182, 245), 19, pale, brand);
}

fn toner(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    let top = c.dice.between(196, 224);
    c.rect((70, top), (340, 92), 18, deep);
    c.rect((70, top + 60), (340, 54), 14, mid);
    c.rect((98, top - 26), (96, 34), 10, mid);
    c.circle((370, top + 46), 24, pale);
    c.circle((370, top + 46), 11, deep);
    c.rect((104, top + 22), (180, 48), 6, pale);
    c.rect((104, top + 22), (14, 48), 4, pop);
    c.text((202, top + 55), 24, deep, brand);
    c.path(&format!("M92 {0}H388L372 398H108z", top + 112), deep);
    c.line(
        &format!(
            "M130 {0}V384M170 {0}V384M210 {0}V384M250 {0}V384M290 {0}V384M330 {0}V384",
            top + 134
        ),
        mid,
        8,
    );
}

fn ink(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.path(
        "M156 150q0-16 16-16h136q16 0 16 16v232q0 16-16 16H172q-16 0-16-16z",
        mid,
    );
    c.path("M156 150q0-16 16-16h136q16 0 16 16v44H156z", deep);
    c.rect((206, 104), (68, 34), 8, deep);
    c.rect((180, 222), (120, 148), 10, pale);
    let drop = c.dice.between(276, 292);
    c.path(
        &format!(
            "M240 {0}c30 38 40 52 40 68a40 40 0 0 1-80 0c0-16 10-30 40-68z",
            drop - 40
        ),
        pop,
    );
    c.path(
        &format!("M240 {0}c30 38 40 52 40 68a40 40 0 0 1-40 40z", drop - 40),
        deep,
    );
    c.text((240, 178), 24, pale, brand);
}

fn paper(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    for step in 0..5 {
        let y = 384 - step * 14;
        c.path(
            &format!("M84 {y}L240 {}L396 {y}L240 {}z", y - 74, y + 20),
            if step % 2 == 0 { mid } else { "#ffffff" },
        );
    }
    c.path("M84 322L240 248L396 322L240 342z", "#ffffff");
    c.path("M142 150h142l54 54v150H142z", pale);
    c.path("M284 150l54 54h-54z", mid);
    c.rect((170, 232), (140, 10), 5, deep);
    c.rect((170, 256), (140, 10), 5, mid);
    c.rect((170, 280), (92, 10), 5, mid);
    c.circle((292, 318), 16, pop);
    c.text((212, 202), 20, deep, brand);
}

fn cable(c: &mut Canvas) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    let sway = c.dice.between(-30, 30);
    let d = format!(
        "M120 396C120 {0} 330 {1} 330 236S150 150 150 {2}S300 96 330 148",
        250 + sway,
        380 - sway,
        196 + sway / 2
    );
    c.line(&d, deep, 24);
    c.line(&d, mid, 12);
    c.rect((92, 340), (56, 64), 10, deep);
    c.rect((102, 396), (36, 20), 3, pale);
    c.raw(r#"<g transform="rotate(48 334 146)">"#);
    c.rect((304, 112), (64, 58), 10, deep);
    c.rect((366, 124), (24, 34), 3, pale);
    c.rect((314, 134), (22, 14), 7, pop);
    c.raw("</g>");
}

fn laptop(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.rect((104, 144), (272, 196), 14, deep);
    picture(c, (118, 158), (244, 160));
    c.path("M74 340H406L436 384q4 14-12 14H56q-16 0-12-14z", mid);
    c.path("M122 350H358L370 372H110z", deep);
    c.rect((204, 378), (72, 10), 5, pale);
    c.circle((420, 390), 4, pop);
    c.text((240, 335), 12, pale, brand);
}

fn desktop(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.rect((166, 84), (150, 314), 14, deep);
    c.path("M316 98l44 20v270l-44 10z", mid);
    c.rect((184, 108), (114, 26), 5, mid);
    c.rect((184, 144), (114, 26), 5, mid);
    c.circle((241, 232), 26, pale);
    c.circle((241, 232), 14, pop);
    for step in 0..6 {
        c.rect((190, 300 + step * 14), (102, 6), 3, mid);
    }
    c.text((241, 288), 17, pale, brand);
}

fn server(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    for step in 0..4 {
        let y = 126 + step * 68;
        c.rect((84, y), (312, 60), 8, deep);
        c.rect((98, y + 14), (150, 32), 4, mid);
        for slot in 0..5 {
            c.rect((106 + slot * 28, y + 20), (18, 20), 2, deep);
        }
        let lit = c.dice.between(0, 2);
        for lamp in 0..3 {
            c.circle((330 + lamp * 20, y + 30), 6, if lamp == lit { pop } else { pale });
        }
    }
    c.text((284, 162), 13, pale, brand);
}

fn phone(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pop, .. } = *c.palette;
    let lean = c.dice.between(-7, 7);
    c.raw(&format!(r#"<g transform="rotate({lean} 240 250)">"#));
    c.rect((154, 88), (172, 312), 26, deep);
    picture(c, (166, 122), (148, 226));
    c.rect((214, 102), (52, 8), 4, mid);
    c.circle((240, 374), 13, mid);
    c.circle((302, 106), 4, pop);
    c.text((240, 150), 15, deep, brand);
    c.raw("</g>");
}

fn camera(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.path("M176 172l22-40h84l22 40z", deep);
    c.rect((84, 164), (312, 232), 30, deep);
    c.rect((84, 214), (312, 120), 0, mid);
    c.rect((110, 144), (52, 26), 8, mid);
    c.circle((240, 280), 92, deep);
    c.circle((240, 280), 74, pale);
    c.circle((240, 280), 52, deep);
    let glint = c.dice.between(-14, 14);
    c.circle((240 + glint, 262), 15, pop);
    c.circle((264, 302), 6, pale);
    c.circle((358, 192), 10, pop);
    c.text((138, 199), 17, pale, brand);
}

fn headphones(c: &mut Canvas) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    let drop = c.dice.between(0, 20);
    c.line("M118 290C108 70 372 70 362 290", deep, 26);
    c.line("M132 226C146 108 334 108 348 226", mid, 10);
    for (x, inner) in [(84, 138), (320, 284)] {
        c.rect((x, 254), (76, 128), 34, deep);
        c.rect((inner, 262), (58, 112), 24, mid);
    }
    c.circle((122, 318), 14, pop);
    c.circle((358, 318), 14, pop);
    c.line(&format!("M120 382q6 {0} 60 16", 14 + drop), pale, 8);
}

fn speaker(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.rect((136, 88), (208, 312), 22, deep);
    c.rect((152, 104), (176, 280), 14, mid);
    c.circle((240, 164), 36, deep);
    c.circle((240, 164), 18, pale);
    c.circle((240, 288), 72, deep);
    c.circle((240, 288), 52, pale);
    let cone = c.dice.between(16, 28);
    c.circle((240, 288), cone, pop);
    c.text((240, 379), 14, deep, brand);
}

fn storage(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    let lean = c.dice.between(-9, 9);
    c.raw(&format!(r#"<g transform="rotate({lean} 240 250)">"#));
    c.rect((130, 96), (220, 300), 18, deep);
    c.circle((240, 218), 88, mid);
    c.circle((240, 218), 74, pale);
    c.circle((240, 218), 22, deep);
    c.line("M324 356L262 240", deep, 16);
    c.circle((324, 356), 22, mid);
    c.circle((152, 118), 6, mid);
    c.circle((328, 118), 6, mid);
    c.rect((150, 336), (110, 38), 6, pop);
    c.text((205, 361), 16, deep, brand);
    c.raw("</g>");
}

fn memory(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    let lean = c.dice.between(-12, -4);
    c.raw(&format!(r#"<g transform="rotate({lean} 240 280)">"#));
    c.rect((56, 216), (368, 118), 10, mid);
    for step in 0..4 {
        c.rect((78 + step * 86, 236), (66, 58), 6, deep);
    }
    c.rect((72, 306), (336, 34), 4, pop);
    for step in 0..14 {
        c.rect((80 + step * 24, 308), (10, 30), 2, deep);
    }
    c.rect((224, 318), (16, 22), 0, mid);
    c.text((111, 270), 13, pale, brand);
    c.raw("</g>");
}

fn network(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    if c.dice.pick(2) == 0 {
        c.line("M132 292V132M348 292V132", deep, 16);
        c.raw(&format!(r#"<path d="M186 168a80 80 0 0 1 108 0M206 200a50 50 0 0 1 68 0" fill="none" stroke="{pop}" stroke-width="12" stroke-linecap="round"/>"#));
    }
    c.rect((70, 282), (340, 106), 16, deep);
    c.rect((70, 282), (340, 30), 14, mid);
    for step in 0..6 {
        c.rect((92 + step * 36, 330), (26, 26), 4, pale);
        c.rect(
            (98 + step * 36, 366),
            (14, 6),
            3,
            if step % 3 == 0 { pop } else { mid },
        );
    }
    c.circle((376, 346), 9, pop);
    c.text((240, 304), 16, pale, brand);
}

fn power(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.path("M306 112l66 24v248l-66 14z", mid);
    c.rect((126, 108), (182, 290), 16, deep);
    c.rect((152, 136), (130, 78), 8, pale);
    c.path("M226 146l-34 36h22l-8 26 36-38h-24z", pop);
    let lit = c.dice.between(2, 4);
    for step in 0..5 {
        c.rect(
            (154 + step * 26, 232),
            (18, 12),
            3,
            if step < lit { pop } else { mid },
        );
    }
    for row in 0..2 {
        for column in 0..2 {
            c.rect((160 + column * 66, 300 + row * 44), (48, 30), 8, mid);
        }
    }
    c.text((217, 280), 20, pale, brand);
}

fn battery(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    let lean = c.dice.between(-8, 8);
    c.raw(&format!(r#"<g transform="rotate({lean} 240 250)">"#));
    for (x, body, cap) in [(140, mid, deep), (252, deep, mid)] {
        c.rect((x + 28, 104), (32, 30), 6, pale);
        c.rect((x, 126), (88, 270), 16, body);
        c.rect((x, 126), (88, 84), 16, pop);
        c.rect((x, 186), (88, 24), 0, cap);
    }
    c.path("M302 252l-28 44h20l-6 40 32-50h-22z", pop);
    c.raw(r#"<g transform="rotate(-90 184 300)">"#);
    c.text((184, 308), 24, pale, brand);
    c.raw("</g></g>");
}

fn input(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.rect((54, 252), (278, 140), 16, deep);
    let lit = c.dice.between(0, 23);
    for row in 0..3 {
        for column in 0..8 {
            let fill = if row * 8 + column == lit { pop } else { mid };
            c.rect((68 + column * 32, 266 + row * 32), (26, 26), 5, fill);
        }
    }
    c.rect((116, 362), (150, 20), 5, mid);
    c.rect((350, 252), (84, 140), 42, mid);
    c.path("M392 252a42 42 0 0 1 42 42v16h-84v-16a42 42 0 0 1 42-42z", deep);
    c.rect((386, 272), (12, 30), 6, pale);
    c.text((191, 377), 14, pale, brand);
}

fn software(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.path("M138 118l-34 22v250l34 8z", deep);
    c.rect((136, 112), (214, 288), 8, mid);
    c.rect((136, 112), (214, 92), 8, deep);
    let turn = c.dice.between(0, 3) * 30;
    c.raw(&format!(r#"<g transform="rotate({turn} 243 292)">"#));
    c.circle((243, 292), 58, pale);
    c.path("M243 234a58 58 0 0 1 50 29l-50 29z", pop);
    c.circle((243, 292), 18, mid);
    c.circle((243, 292), 8, deep);
    c.raw("</g>");
    c.text((243, 166), 24, pale, brand);
}

fn bag(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.line("M190 170V138q0-26 26-26h48q26 0 26 26v32", deep, 18);
    c.rect((84, 164), (312, 234), 30, mid);
    c.path("M84 208q0-44 44-44h224q44 0 44 44v34q-156 60-312 0z", deep);
    c.rect((214, 246), (52, 34), 8, pop);
    let seam = c.dice.between(330, 352);
    c.line(&format!("M112 {seam}H368"), deep, 4);
    c.text((240, 214), 22, pale, brand);
}

fn home(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.line("M320 200c70 0 70 120 0 124", deep, 20);
    c.path("M146 140H334L318 376q-2 22-24 22H186q-22 0-24-22z", mid);
    c.path("M146 140H334L330 196H150z", deep);
    c.path("M146 140L110 180l40 16z", deep);
    c.rect((206, 104), (68, 38), 12, deep);
    let level = c.dice.between(240, 300);
    c.rect((226, 222), (28, 150), 14, pale);
    c.rect((226, level), (28, 372 - level), 14, pop);
    c.text((240, 178), 20, pale, brand);
}

fn parcel(c: &mut Canvas, brand: &str) {
    let Palette { deep, mid, pale, pop } = *c.palette;
    c.path("M240 108L396 178L240 250L84 178z", pale);
    c.path("M84 178L240 250V400L84 322z", mid);
    c.path("M396 178L240 250V400L396 322z", deep);
    c.path("M150 148L306 220V262L330 250V208L176 136z", pop);
    if c.dice.pick(2) == 0 {
        c.line("M272 356l34-16M272 376l58-28", pale, 6);
    } else {
        c.line("M110 306l48 24M110 286l28 14", pale, 6);
    }
    c.raw(r#"<g transform="matrix(.9 .42 0 1 0 0)">"#);
    c.text((176, 216), 24, deep, brand);
    c.raw("</g>");
}
