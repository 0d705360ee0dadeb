// The OpenTelemetry Collector with its own OTLP receiver, and beside it what tests need and a stock build has not:
// an exporter that appends what it gets to a file, a JSON object a line, before the sender hears that all went well,
// and an authenticator that wants one token.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"go.opentelemetry.io/collector/otelcol"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/otlpreceiver"
	"go.opentelemetry.io/collector/service/telemetry/otelconftelemetry"
)

type fileConfig struct {
	Path string `mapstructure:"path"`
}

type fileExporter struct {
	component.StartFunc
	lock sync.Mutex
	file *os.File
	pmetric.JSONMarshaler
}

func (e *fileExporter) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

func (e *fileExporter) Shutdown(context.Context) error { return e.file.Close() }

func (e *fileExporter) ConsumeMetrics(_ context.Context, metrics pmetric.Metrics) error {
	line, err := e.MarshalMetrics(metrics)
	if err != nil {
		return err
	}
	e.lock.Lock()
	defer e.lock.Unlock()
	_, err = e.file.Write(append(line, '\n'))
	return err
}

func newFile(_ context.Context, _ exporter.Settings, config component.Config) (exporter.Metrics, error) {
	file, err := os.OpenFile(config.(*fileConfig).Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	return &fileExporter{file: file}, err
}

type tokenConfig struct {
	Token string `mapstructure:"token"`
}

type token struct {
	component.StartFunc
	component.ShutdownFunc
	wanted string
}

func (t *token) Authenticate(ctx context.Context, headers map[string][]string) (context.Context, error) {
	for _, name := range []string{"Authorization", "authorization"} {
		for _, got := range headers[name] {
			if got == "Bearer "+t.wanted {
				return ctx, nil
			}
		}
	}
	return ctx, errors.New("wrong token")
}

var _ extensionauth.Server = (*token)(nil)

func newToken(_ context.Context, _ extension.Settings, config component.Config) (extension.Extension, error) {
	return &token{wanted: config.(*tokenConfig).Token}, nil
}

func components() (otelcol.Factories, error) {
	file := exporter.NewFactory(component.MustNewType("file"),
		func() component.Config { return &fileConfig{} }, exporter.WithMetrics(newFile, component.StabilityLevelStable))
	auth := extension.NewFactory(component.MustNewType("bearertokenauth"),
		func() component.Config { return &tokenConfig{} }, newToken, component.StabilityLevelStable)
	otlp := otlpreceiver.NewFactory()
	return otelcol.Factories{
		Telemetry:  otelconftelemetry.NewFactory(),
		Receivers:  map[component.Type]receiver.Factory{otlp.Type(): otlp},
		Exporters:  map[component.Type]exporter.Factory{file.Type(): file},
		Extensions: map[component.Type]extension.Factory{auth.Type(): auth},
	}, nil
}

func main() {
	settings := otelcol.CollectorSettings{
		BuildInfo: component.BuildInfo{Command: "otelcol", Version: "0.150.0"},
		Factories: components,
		ConfigProviderSettings: otelcol.ConfigProviderSettings{ResolverSettings: confmap.ResolverSettings{
			DefaultScheme:     "file",
			ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory()},
		}},
	}
	if err := otelcol.NewCommand(settings).Execute(); err != nil {
		log.Fatal(err)
	}
}
