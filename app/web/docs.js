// The page at /docs: the API's document in Swagger UI, which asks no other host about it.
// A key that is typed in there is forgotten with the page.

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#document",
  deepLinking: true,
  validatorUrl: null,
});
