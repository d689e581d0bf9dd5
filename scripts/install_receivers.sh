#!/bin/sh
# Install the receivers that tests/ship delivers to, into .build/receivers or AUDITSENSE_RECEIVERS. They need no
# root and no container: Go for NATS, VictoriaLogs and the OpenTelemetry collector, Maven and a JDK for OpenSearch.
# What cannot be installed is skipped here and by the tests.
set -eu
cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*" >&2; }
folder=${AUDITSENSE_RECEIVERS:-$(pwd)/.build/receivers}
mkdir -p "$folder"

if command -v go >/dev/null 2>&1; then
    export GOBIN="$folder" GOFLAGS=-p=1
    go install github.com/nats-io/nats-server/v2@latest || say "nats-server cannot be built"
    go install github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs@latest || say "victoria-logs cannot be built"
    if go install go.opentelemetry.io/collector/cmd/builder@v0.165.0; then
        cat >"$folder/collector-build.yaml" <<YAML
dist: {name: otelcol, output_path: $folder/otelcol-build}
receivers: [{gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v0.165.0}]
exporters: [{gomod: go.opentelemetry.io/collector/exporter/debugexporter v0.165.0}]
YAML
        if "$folder/builder" --config "$folder/collector-build.yaml"; then
            cp "$folder/otelcol-build/otelcol" "$folder/otelcol"
        else
            say "otelcol cannot be built"
        fi
    fi
else
    say "go is missing: no NATS, VictoriaLogs and OpenTelemetry collector"
fi

if command -v mvn >/dev/null 2>&1 && command -v javac >/dev/null 2>&1; then
    jars=$folder/opensearch
    mkdir -p "$jars"
    cat >"$jars/pom.xml" <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>opensearch-node</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.opensearch</groupId><artifactId>opensearch</artifactId><version>2.19.3</version></dependency>
    <dependency><groupId>org.opensearch.plugin</groupId><artifactId>transport-netty4-client</artifactId><version>2.19.3</version></dependency>
    <dependency><groupId>org.opensearch.plugin</groupId><artifactId>analysis-common</artifactId><version>2.19.3</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.21.0</version></dependency>
  </dependencies>
</project>
XML
    cat >"$jars/OpenSearchNode.java" <<'JAVA'
import java.util.List;
import java.util.Map;
import org.opensearch.analysis.common.CommonAnalysisPlugin;
import org.opensearch.common.settings.Settings;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** A single OpenSearch node on this host. Arguments: folder, port of HTTP, port of transport. */
public final class OpenSearchNode extends Node {
    private OpenSearchNode(Settings settings) {
        super(InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "node"),
                List.of(Netty4Plugin.class, CommonAnalysisPlugin.class), false);
    }

    public static void main(String[] arguments) throws Exception {
        new OpenSearchNode(Settings.builder().put("path.home", arguments[0]).put("http.port", arguments[1])
                .put("transport.port", arguments[2]).put("network.host", "127.0.0.1")
                .put("discovery.type", "single-node").put("http.type", "netty4").put("transport.type", "netty4")
                .put("cluster.routing.allocation.disk.threshold_enabled", false).build()).start();
        Thread.sleep(Long.MAX_VALUE);
    }
}
JAVA
    if mvn -q -B -f "$jars/pom.xml" dependency:copy-dependencies -DoutputDirectory="$jars"; then
        javac -cp "$jars/*" -d "$jars" "$jars/OpenSearchNode.java"
    else
        say "opensearch cannot be installed"
    fi
else
    say "mvn or javac is missing: no OpenSearch"
fi
