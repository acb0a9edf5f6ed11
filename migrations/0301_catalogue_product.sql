-- Trigrams find what "samsnug" was meant to be: the second try of a search with a word that is nowhere.
create extension if not exists pg_trgm;

-- The catalogue as the product entities last said. Lists are answered from the node's memory, which
-- is loaded from here; this table is what a search asks and where a product page finds its texts.
create table catalogue_product (
    sku           text    not null,
    -- The page's address. Two products may ask for the same one; the catalogue gives the second
    -- another, so this is unique where the products' own details are not.
    slug          text    not null,
    version       bigint  not null,
    price         bigint  not null,
    currency      text    not null,
    published     boolean not null,
    created_at_ms bigint  not null,
    changed_at_ms bigint  not null,
    -- The details as JSON. Not jsonb: that refuses \u0000, and a view refuses nothing.
    details       json    not null,
    -- Folded name, brand and part number, for trigrams.
    folded_name   text    not null,
    -- A: name, brand, SKU, part number. B: category and attributes. C: description. All folded.
    search        tsvector not null,
    constraint catalogue_product_pk primary key (sku),
    constraint catalogue_product_slug_unique unique (slug)
);

create index catalogue_product_search on catalogue_product using gin (search);
create index catalogue_product_folded_name on catalogue_product using gin (folded_name gin_trgm_ops);
