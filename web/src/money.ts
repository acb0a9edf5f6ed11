// Amounts as the server writes them: the same text as `Money` in src/http/pages/model/money.rs.

export interface Money {
  amount: number;
  currency: string;
}

const SYMBOLS: Record<string, string> = { EUR: "€", USD: "$", GBP: "£", JPY: "¥" };

export function isMoney(value: unknown): value is Money {
  const money = value as Partial<Money> | null | undefined;
  return typeof money?.amount === "number" && typeof money.currency === "string";
}

export function formatMoney({ amount, currency }: Money): string {
  const digits = exponent(currency);
  const number = new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const shown = number.format(Math.abs(amount) / 10 ** digits);
  return `${amount < 0 ? "−" : ""}${SYMBOLS[currency] ?? `${currency}\u00a0`}${shown}`;
}

function exponent(currency: string): number {
  try {
    const { maximumFractionDigits } = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions();
    return maximumFractionDigits ?? 2;
  } catch {
    return 2;
  }
}
