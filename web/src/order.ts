// An order's life in words: the same as `OrderStatus` and `HistoryEntry` in
// src/http/pages/model/order.rs.

export type OrderStatus = "pending" | "confirmed" | "packed" | "shipped" | "delivered" | "cancelled" | "refunded";

export interface HistoryEntry {
  at: string;
  status: OrderStatus;
  detail?: string | null;
}

const LABELS: Record<OrderStatus, string> = {
  pending: "Being checked",
  confirmed: "Confirmed",
  packed: "Packed",
  shipped: "On its way",
  delivered: "Delivered",
  cancelled: "Cancelled",
  refunded: "Refunded",
};

const REASONS: Record<string, string> = {
  out_of_stock: "An item sold out before we could set it aside.",
  payment_declined: "The payment was declined.",
  payment_expired: "The payment was not confirmed in time.",
  by_shopper: "Cancelled at the shopper’s wish.",
  by_seller: "Cancelled by the shop.",
  requires_action: "The payment waits for your confirmation.",
};

const WAY: OrderStatus[] = ["pending", "confirmed", "packed", "shipped", "delivered"];

export function isOrderStatus(value: unknown): value is OrderStatus {
  return typeof value === "string" && value in LABELS;
}

export const orderLabel = (status: OrderStatus): string => LABELS[status];

export const detailText = (detail: string | null | undefined): string => (detail ? (REASONS[detail] ?? detail) : "");

export type StepState = "done" | "now" | "ahead";

/** The track of an order that stands here. */
export function track(status: OrderStatus): { status: OrderStatus; state: StepState }[] {
  const way: OrderStatus[] =
    status === "cancelled" ? ["pending", "cancelled"] : status === "refunded" ? ["confirmed", "packed", "refunded"] : WAY;
  const here = way.indexOf(status);
  return way.map((step, place) => ({ status: step, state: place < here ? "done" : place === here ? "now" : "ahead" }));
}
