// What can be bought: the same words as `Availability` in src/http/pages/model/catalogue.rs.

const LABELS = {
  in_stock: "In stock",
  low: "Only a few left",
  out_of_stock: "Sold out",
} as const;

export type Availability = keyof typeof LABELS;

export function isAvailability(value: unknown): value is Availability {
  return typeof value === "string" && value in LABELS;
}

export function availabilityLabel(availability: Availability): string {
  return LABELS[availability];
}
