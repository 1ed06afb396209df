#!/bin/bash
# A database and a role for each service. Runs whenever the server has started,
# and makes what is missing: a service that is new gets its database, a password
# that changed is taken over.
set -euo pipefail
until pg_isready --quiet --host=127.0.0.1 --username="$POSTGRES_USER" --dbname=postgres; do sleep 0.5; done
secrets=/etc/tidemill/secrets
PGPASSWORD=$(<"$secrets/postgres-password")
export PGPASSWORD
for service in enrichment aggregation alert reporting lake; do
  # The lake is there where it is wanted.
  [ -e "$secrets/$service-password" ] || continue
  PASSWORD_FILE=$secrets/$service-password psql --quiet --host=127.0.0.1 --username="$POSTGRES_USER" --dbname=postgres \
    --set=ON_ERROR_STOP=1 --set=service="$service" <<'SQL'
-- Not as an argument, which every process here could read.
\set password `cat "$PASSWORD_FILE"`
SELECT format('CREATE ROLE %I', :'service')
  WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'service') \gexec
ALTER ROLE :"service" LOGIN PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I ENCODING %L TEMPLATE template0', :'service', :'service', 'UTF8')
  WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'service') \gexec
-- Nobody else's role may even connect.
REVOKE ALL ON DATABASE :"service" FROM PUBLIC;
SQL
done
