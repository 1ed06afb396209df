#!/bin/bash
# A database and a role for each service. Runs whenever the server has started,
# and makes what is missing: a service that is new gets its database, a password
# that changed is taken over.
set -euo pipefail
until pg_isready --quiet --host=127.0.0.1 --username="$POSTGRES_USER" --dbname=postgres; do sleep 0.5; done
export PGPASSWORD=$POSTGRES_PASSWORD
for service in enrichment aggregation alert reporting; do
  password=${service^^}_PASSWORD
  psql --quiet --host=127.0.0.1 --username="$POSTGRES_USER" --dbname=postgres \
    --set=ON_ERROR_STOP=1 --set=service="$service" --set=password="${!password}" <<'SQL'
SELECT format('CREATE ROLE %I', :'service')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'service') \gexec
ALTER ROLE :"service" LOGIN PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I ENCODING %L TEMPLATE template0', :'service', :'service', 'UTF8')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'service') \gexec
-- Nobody else's role may even connect.
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
