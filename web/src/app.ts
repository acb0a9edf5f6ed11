// Everything a page may need. Pages work without it; with it they are live.

import "./toast.js";
import "./connection-chip.js";
import "./product.js";
import "./cart.js";
import "./order-timeline.js";
import "./forms.js";
import { localiseTimes } from "./local-time.js";

localiseTimes();
document.addEventListener("regions-refreshed", () => localiseTimes());
