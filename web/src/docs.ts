// /docs: the API's own document, rendered. Everything comes from this server.

interface SwaggerUi {
  (options: Record<string, unknown>): unknown;
}

declare const SwaggerUIBundle: SwaggerUi;

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  docExpansion: "list",
  tryItOutEnabled: false,
  // The default would ask a validator on the Internet.
  validatorUrl: null,
});
